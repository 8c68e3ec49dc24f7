// The peer's sockets: rounds of gossip over UDP, joins and leaves over TCP.

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand"
	"net"
	"time"

	"github.com/ugorji/go/codec"
)

const timeout = 10 * time.Second

type gossip struct {
	state     *state
	from      streamHeader
	packets   net.PacketConn
	streams   net.Listener
	maxPacket int
}

func listen(id, bind string, maxPacket int, emit func(string, map[string]any)) (*gossip, error) {
	streams, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, err
	}
	addr := streams.Addr().String()
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	g := &gossip{newState(id, addr, emit), streamHeader{id, addr}, packets, streams, maxPacket}
	go g.readPackets()
	go g.acceptStreams()
	return g, nil
}

func (g *gossip) send(addr string, packet []byte) {
	if udp, err := net.ResolveUDPAddr("udp", addr); err == nil {
		_, _ = g.packets.WriteTo(packet, udp)
	}
}

func (g *gossip) sendDigest(addr string, request bool) {
	header := digestHeader{g.from.NodeID, g.from.Addr, request}
	g.send(addr, digestPacket(header, g.state.digest(), g.maxPacket))
}

func (g *gossip) readPackets() {
	buffer := make([]byte, g.maxPacket)
	for {
		n, _, err := g.packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		if err := g.handlePacket(buffer[:n]); err != nil {
			g.state.emit("invalid", map[string]any{"error": err.Error()})
		}
	}
}

func (g *gossip) handlePacket(packet []byte) error {
	if len(packet) < 2 || packet[1] != 0 {
		return fmt.Errorf("unknown packet")
	}
	g.state.mutex.Lock()
	defer g.state.mutex.Unlock()
	switch packet[0] {
	case typeDigest:
		header, digest, err := parseDigest(packet[2:])
		if err != nil {
			return err
		}
		g.state.applyDigest(digest)
		g.send(header.Addr, deltaPacket(g.from, g.state.delta(digest, false), g.maxPacket))
		if header.Request {
			g.sendDigest(header.Addr, false)
		}
	case typeDelta:
		header, nodes, err := parseDelta(packet[2:])
		if err != nil {
			return err
		}
		g.state.markSeen(header.NodeID)
		g.state.applyDelta(nodes)
	default:
		return fmt.Errorf("unknown type %d", packet[0])
	}
	return nil
}

func (g *gossip) rounds(interval time.Duration) {
	for range time.Tick(interval) {
		g.state.mutex.Lock()
		g.state.check()
		var live, silent []*node
		for _, n := range g.state.nodes {
			if n.unreachable {
				silent = append(silent, n)
			} else if n != g.state.self && !n.left {
				live = append(live, n)
			}
		}
		for _, nodes := range [][]*node{live, silent} {
			if len(nodes) > 0 {
				g.sendDigest(nodes[rand.Intn(len(nodes))].addr, true)
			}
		}
		g.state.mutex.Unlock()
	}
}

func (g *gossip) acceptStreams() {
	for {
		conn, err := g.streams.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if err := g.handleStream(conn); err != nil {
				g.state.emit("invalid", map[string]any{"error": err.Error()})
			}
		}()
	}
}

func (g *gossip) handleStream(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(timeout))
	reader := bufio.NewReader(conn)
	var prefix [2]byte
	if _, err := io.ReadFull(reader, prefix[:]); err != nil {
		return err
	}
	decoder := codec.NewDecoder(reader, &handle)
	var header streamHeader
	var nodes []nodeDelta
	if err := decoder.Decode(&header); err != nil {
		return err
	}
	if err := decoder.Decode(&nodes); err != nil {
		return err
	}
	var digest []digestEntry
	if prefix[0] == typeJoin {
		if err := decoder.Decode(&digest); err != nil {
			return err
		}
	}
	g.state.mutex.Lock()
	defer g.state.mutex.Unlock()
	g.state.applyDelta(nodes)
	answer := []any{g.from}
	if prefix[0] == typeJoin {
		g.state.applyDigest(digest)
		answer = append(answer, g.state.delta(digest, true))
	}
	_, err := conn.Write(encode(nil, answer...))
	return err
}

func (g *gossip) join(addr string) error {
	g.state.mutex.Lock()
	self := g.state.self
	nodes := []nodeDelta{{self.id, self.addr, self.above(0)}}
	request := encode([]byte{typeJoin, 0}, g.from, nodes, g.state.digest())
	g.state.mutex.Unlock()
	var header streamHeader
	// As in Go Piko, the response is decoded into the list that was sent.
	if err := exchange(addr, request, &header, &nodes); err != nil {
		return err
	}
	g.state.mutex.Lock()
	defer g.state.mutex.Unlock()
	g.state.applyDelta(nodes)
	g.state.emit("joined", map[string]any{"id": header.NodeID})
	return nil
}

func (g *gossip) leave() error {
	g.state.mutex.Lock()
	self := g.state.self
	g.state.set(leftKey, "", true, false)
	request := encode([]byte{typeLeave, 0}, g.from, []nodeDelta{{self.id, self.addr, self.above(0)}})
	var addrs []string
	for _, n := range g.state.nodes {
		if n != self && !n.left && !n.unreachable {
			addrs = append(addrs, n.addr)
		}
	}
	g.state.mutex.Unlock()
	for _, addr := range addrs {
		var header streamHeader
		if err := exchange(addr, request, &header); err != nil {
			return err
		}
		g.state.emit("notified", map[string]any{"id": header.NodeID})
	}
	return nil
}

func exchange(addr string, request []byte, answers ...any) error {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(timeout))
	if _, err := conn.Write(request); err != nil {
		return err
	}
	decoder := codec.NewDecoder(bufio.NewReader(conn), &handle)
	for _, answer := range answers {
		if err := decoder.Decode(answer); err != nil {
			return err
		}
	}
	return nil
}
