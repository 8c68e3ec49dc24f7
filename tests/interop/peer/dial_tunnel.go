package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// refusal is any response to the upgrade request other than a 101.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("%d", r.status)
	}
	return fmt.Sprintf("%d: %s", r.status, r.message)
}

// retryable reports whether a Go client retries after this response.
func (r *refusal) retryable() bool {
	switch r.status {
	case 408, 429, 500, 502, 503, 504:
		return true
	}
	return false
}

// dialTunnel opens a WebSocket at base + path as the Go clients do: no subprotocol, no extension, no Origin.
func dialTunnel(
	ctx context.Context, base, path, token, tenant string, files tlsFiles,
) (*tunnelConn, http.Header, error) {
	config, err := files.load()
	if err != nil {
		return nil, nil, err
	}
	url := base + path
	if rest, ok := strings.CutPrefix(url, "http"); ok {
		url = "ws" + rest
	}
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if tenant != "" {
		header.Set("X-Piko-Tenant-Id", tenant)
	}
	dialer := websocket.Dialer{HandshakeTimeout: time.Minute, TLSClientConfig: config}
	ws, response, err := dialer.DialContext(ctx, url, header)
	if err == nil {
		return newTunnelConn(ws), response.Header, nil
	}
	if response == nil {
		return nil, nil, err
	}
	refused := &refusal{status: response.StatusCode}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		var body struct {
			Error string `json:"error"`
		}
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024))
		if json.Unmarshal(text, &body) == nil {
			refused.message = body.Error
		}
	}
	return nil, nil, refused
}
