/** The time, each second, until the client goes away. */
export function GET() {
  let timer;
  const stream = new ReadableStream({
    start(controller) {
      const send = () => controller.enqueue(`data: ${new Date().toISOString()}\n\n`);
      timer = setInterval(send, 1_000);
      send();
    },
    cancel() {
      clearInterval(timer);
    },
  });
  const body = stream.pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}
