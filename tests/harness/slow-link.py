# Joins two network namespaces by a link with a delay: a TUN device in each, and this program between them. The kernel's own
# tool for this, netem, isn't in every kernel. Packets to addresses that neither side has are dropped silently.
# Usage: slow-link.py NAMESPACE NAMESPACE DELAY_MS

import ctypes, fcntl, heapq, os, select, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def open_device(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", b"slow0", IFF_TUN | IFF_NO_PI))
    return device


a, b = open_device(sys.argv[1]), open_device(sys.argv[2])
other = {a: b, b: a}
delay = int(sys.argv[3]) / 1000
waiting, count = [], 0
print('{"msg":"ready"}', flush=True)
while True:
    left = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    for device in select.select([a, b], [], [], left)[0]:
        count += 1
        heapq.heappush(waiting, (time.monotonic() + delay, count, other[device], os.read(device, 65536)))
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, device, packet = heapq.heappop(waiting)
        try:
            os.write(device, packet)
        except OSError:
            pass  # The device isn't up yet.
