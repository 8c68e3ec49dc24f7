package main

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// goAwayFrame returns a yamux GoAway frame with this code.
func goAwayFrame(code uint32) []byte {
	frame := make([]byte, 12)
	frame[1] = 3
	binary.BigEndian.PutUint32(frame[8:], code)
	return frame
}

// endings are the ways in which a server can end a tunnel, by name.
var endings = map[string]func(*tunnel){
	"fin":   func(t *tunnel) { _ = t.conn.Close() },
	"rst":   func(t *tunnel) { _ = t.conn.reset() },
	"close": func(t *tunnel) { closeFrame(t, websocket.CloseGoingAway) },
	"goaway0": func(t *tunnel) {
		_, _ = t.conn.Write(goAwayFrame(0))
	},
	"goaway1": func(t *tunnel) { goAwayAndFin(t, 1) },
	"goaway2": func(t *tunnel) { goAwayAndFin(t, 2) },
	"text":    func(t *tunnel) { sendMessage(t, websocket.TextMessage, []byte("hello")) },
	"reserved-bits": func(t *tunnel) {
		// RSV1 without an agreed extension.
		_, _ = t.conn.ws.NetConn().Write([]byte{0xc2, 0x00})
	},
	"masked": func(t *tunnel) {
		// A server must not mask.
		_, _ = t.conn.ws.NetConn().Write([]byte{0x82, 0x81, 1, 2, 3, 4, 5})
	},
	"bad-version": func(t *tunnel) { _, _ = t.conn.Write([]byte{9, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}) },
	"bad-type":    func(t *tunnel) { _, _ = t.conn.Write([]byte{0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) },
	"cut-frame": func(t *tunnel) {
		_, _ = t.conn.ws.NetConn().Write([]byte{0x82, 0x7e, 0x10, 0x00, 1, 2, 3})
		_ = t.conn.Close()
	},
}

func goAwayAndFin(t *tunnel, code uint32) {
	_, _ = t.conn.Write(goAwayFrame(code))
	time.Sleep(shortly)
	_ = t.conn.Close()
}

func closeFrame(t *tunnel, code int) {
	message := websocket.FormatCloseMessage(code, "")
	_ = t.conn.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(time.Second))
	time.Sleep(shortly)
	_ = t.conn.Close()
}

func sendMessage(t *tunnel, kind int, payload []byte) {
	t.conn.writing.Lock()
	defer t.conn.writing.Unlock()
	_ = t.conn.ws.WriteMessage(kind, payload)
}

// endTunnels ends the tunnels of ?endpoint= in the way named by ?how=.
func (s *goServer) endTunnels(w http.ResponseWriter, r *http.Request) {
	end, known := endings[r.URL.Query().Get("how")]
	if !known {
		http.Error(w, "unknown ending", http.StatusBadRequest)
		return
	}
	for _, entry := range s.of(r.URL.Query().Get("endpoint")) {
		end(entry)
	}
}

// sendRaw sends ?hex= as one binary message on the tunnels of ?endpoint=.
func (s *goServer) sendRaw(w http.ResponseWriter, r *http.Request) {
	bytes, err := hex.DecodeString(r.URL.Query().Get("hex"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, entry := range s.of(r.URL.Query().Get("endpoint")) {
		_, _ = entry.conn.Write(bytes)
	}
}
