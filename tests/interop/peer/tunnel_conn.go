package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// tunnelConn is a net.Conn over the binary messages of one WebSocket. Message boundaries carry no meaning. A close
// frame and a plain end of the TCP connection both read as net.ErrClosed, which is what makes a Go agent end instead
// of reconnecting; a text message is an error of another kind. Close drops the TCP connection without a close frame.
type tunnelConn struct {
	ws *websocket.Conn

	message io.Reader
	// yamux writes from one goroutine, the control endpoint injects from another.
	writing sync.Mutex
}

var _ net.Conn = (*tunnelConn)(nil)

func newTunnelConn(ws *websocket.Conn) *tunnelConn {
	return &tunnelConn{ws: ws}
}

func (c *tunnelConn) Read(into []byte) (int, error) {
	for {
		if c.message == nil {
			kind, message, err := c.ws.NextReader()
			if err != nil {
				return 0, closedOr(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("unexpected message type %d", kind)
			}
			c.message = message
		}
		n, err := c.message.Read(into)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, closedOr(err)
		}
	}
}

func (c *tunnelConn) Write(from []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, from); err != nil {
		return 0, closedOr(err)
	}
	return len(from), nil
}

func (c *tunnelConn) Close() error { return c.ws.NetConn().Close() }

// reset drops the connection with a TCP RST.
func (c *tunnelConn) reset() error {
	if tcp, ok := c.ws.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return c.Close()
}

func (c *tunnelConn) LocalAddr() net.Addr  { return c.ws.LocalAddr() }
func (c *tunnelConn) RemoteAddr() net.Addr { return c.ws.RemoteAddr() }

func (c *tunnelConn) SetDeadline(at time.Time) error {
	if err := c.SetReadDeadline(at); err != nil {
		return err
	}
	return c.SetWriteDeadline(at)
}
func (c *tunnelConn) SetReadDeadline(at time.Time) error  { return c.ws.SetReadDeadline(at) }
func (c *tunnelConn) SetWriteDeadline(at time.Time) error { return c.ws.SetWriteDeadline(at) }

// closedOr maps every close code, 1006 (a bare end of the connection) included, to net.ErrClosed.
func closedOr(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return net.ErrClosed
	}
	return err
}
