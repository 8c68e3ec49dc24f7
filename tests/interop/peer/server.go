package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/andydunstall/yamux"
	"github.com/gorilla/websocket"
)

// tunnel is one connected agent.
type tunnel struct {
	endpoint string
	request  http.Header
	conn     *tunnelConn
	session  *yamux.Session
}

// goServer is a minimal server on the Go program's libraries: an upstream port that accepts tunnels, a proxy port that opens
// one stream per request, and a control port that ends tunnels in any way a test asks for.
type goServer struct {
	token string
	// Proxy port of another node, which gets requests for endpoints that aren't here; empty if there is none.
	other string
	// TLS for connections to that node; nil for plain TCP.
	tls *tls.Config
	// HMAC secret of the tokens that both ports require; empty if they require none.
	secret string

	lock    sync.Mutex
	tunnels []*tunnel
	next    int
	// Number of tunnels that the node announces to its cluster for each endpoint; endpoints with none are left out.
	listeners map[string]int
	// Proxy addresses of other nodes by endpoint.
	nodes map[string]string
}

func runServer(args []string) error {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	server := &goServer{listeners: map[string]int{}, nodes: map[string]string{}}
	flags.StringVar(&server.token, "token", "", "token that tunnels must show")
	flags.StringVar(&server.secret, "secret", "", "HMAC secret of the tokens that everybody must show")
	upstream := flags.String("upstream", "127.0.0.1:0", "upstream address")
	proxy := flags.String("proxy", "127.0.0.1:0", "proxy address")
	control := flags.String("control", "127.0.0.1:0", "control address")
	flags.StringVar(&server.other, "other", "", "URL of another node's proxy port")
	var files tlsFiles
	files.register(flags)
	_ = flags.Parse(args)
	config, err := files.load()
	if err != nil {
		return err
	}
	server.tls = config

	addresses := fields{}
	serve := func(name, address string, handler http.Handler) error {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		addresses[name] = listener.Addr().String()
		if config != nil && name != "control" {
			listener = tls.NewListener(listener, config)
		}
		go func() {
			_ = (&http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}).Serve(listener)
		}()
		return nil
	}
	upstreamRoutes := http.NewServeMux()
	ofPath := func(r *http.Request) string { return r.PathValue("endpoint") }
	route := func(next http.Handler, endpointOf func(*http.Request) string) http.Handler {
		return server.authenticate(server.hop(next, endpointOf), endpointOf)
	}
	proxyRoutes := http.NewServeMux()
	proxyRoutes.Handle("GET /_piko/v1/tcp/{endpoint}", route(http.HandlerFunc(server.dialTCP), ofPath))
	proxyRoutes.Handle("/", route(server.httpProxy(), endpointOf))
	tunnels := server.authenticate(http.HandlerFunc(server.takeTunnel), ofPath)
	upstreamRoutes.Handle("GET /piko/v1/upstream/{endpoint}", tunnels)
	controlRoutes := http.NewServeMux()
	controlRoutes.HandleFunc("POST /node", server.setNode)
	controlRoutes.HandleFunc("GET /tunnels", server.listTunnels)
	controlRoutes.HandleFunc("GET /listeners", server.listListeners)
	controlRoutes.HandleFunc("POST /end", server.endTunnels)
	controlRoutes.HandleFunc("POST /raw", server.sendRaw)

	if err := errors.Join(
		serve("upstream", *upstream, upstreamRoutes),
		serve("proxy", *proxy, proxyRoutes),
		serve("control", *control, controlRoutes),
	); err != nil {
		return err
	}
	emit("server started", addresses)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return nil
}

func (s *goServer) takeTunnel(w http.ResponseWriter, r *http.Request) {
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid token"}`)
		return
	}
	upgrader := websocket.Upgrader{}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		emit("upgrade failed", fields{"error": err.Error()})
		return
	}
	conn := newTunnelConn(ws)
	config := yamux.DefaultConfig()
	config.LogOutput = os.Stderr
	session, err := yamux.Server(conn, config)
	if err != nil {
		_ = conn.Close()
		return
	}
	entry := &tunnel{endpoint: r.PathValue("endpoint"), request: r.Header, conn: conn, session: session}
	s.lock.Lock()
	s.tunnels = append(s.tunnels, entry)
	s.listeners[entry.endpoint]++
	s.lock.Unlock()
	emit("connected", fields{"endpoint": entry.endpoint, "headers": r.Header})
	for {
		// An agent opens no streams. As in the Go program, any stream that arrives is accepted and ignored.
		if _, err = session.AcceptStreamWithContext(context.Background()); err != nil {
			break
		}
	}
	s.forget(entry)
	_ = session.Close()
	emit("disconnected", fields{"endpoint": entry.endpoint, "reason": err.Error()})
}

// forget removes a tunnel and decrements the endpoint's count, which other nodes learn. Like the Go program, it decrements twice if
// a request reached the tunnel after its GoAway: once then, and once when the tunnel ends, unless the endpoint has no tunnel left.
func (s *goServer) forget(entry *tunnel) {
	s.lock.Lock()
	defer s.lock.Unlock()
	known := false
	for i, other := range s.tunnels {
		if other == entry {
			s.tunnels = append(s.tunnels[:i:i], s.tunnels[i+1:]...)
			known = true
			break
		}
	}
	for _, other := range s.tunnels {
		known = known || other.endpoint == entry.endpoint
	}
	if !known {
		return
	}
	if s.listeners[entry.endpoint]--; s.listeners[entry.endpoint] <= 0 {
		delete(s.listeners, entry.endpoint)
	}
}

func (s *goServer) of(endpoint string) []*tunnel {
	s.lock.Lock()
	defer s.lock.Unlock()
	var found []*tunnel
	for _, entry := range s.tunnels {
		if entry.endpoint == endpoint {
			found = append(found, entry)
		}
	}
	return found
}

// open opens a stream on one of the endpoint's tunnels, which take turns.
func (s *goServer) open(endpoint string) (net.Conn, error) {
	found := s.of(endpoint)
	if len(found) == 0 {
		return nil, errors.New("no available upstreams")
	}
	s.lock.Lock()
	s.next++
	entry := found[s.next%len(found)]
	s.lock.Unlock()
	stream, err := entry.session.OpenStream()
	if errors.Is(err, yamux.ErrRemoteGoAway) {
		s.forget(entry)
	}
	return stream, err
}

func endpointOf(r *http.Request) string {
	if endpoint := r.Header.Get("X-Piko-Endpoint"); endpoint != "" {
		return endpoint
	}
	endpoint, _, _ := strings.Cut(r.Host, ".")
	return endpoint
}

func (s *goServer) httpProxy() http.Handler {
	own := s.ownProxy()
	if s.other == "" {
		return own
	}
	other := s.otherProxy()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(s.of(endpointOf(r))) > 0 || r.Header.Get("X-Piko-Forward") == "true" {
			own.ServeHTTP(w, r)
		} else {
			other.ServeHTTP(w, r)
		}
	})
}

// otherProxy forwards requests to another node.
func (s *goServer) otherProxy() http.Handler {
	target, _ := url.Parse(s.other)
	return &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host = target.Scheme, target.Host
			r.Header.Set("X-Piko-Forward", "true")
		},
		Transport:     &http.Transport{TLSClientConfig: s.tls},
		FlushInterval: -1,
		ErrorHandler:  upstreamUnreachable,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

// ownProxy forwards requests to the agents connected here.
func (s *goServer) ownProxy() http.Handler {
	return &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host = "http", endpointOf(r)
			r.Header.Set("X-Piko-Forward", "true")
			if r.Header.Get("User-Agent") == "" {
				r.Header.Set("User-Agent", "")
			}
		},
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
				endpoint, _, _ := net.SplitHostPort(address)
				return s.open(endpoint)
			},
		},
		FlushInterval: -1,
		ErrorHandler:  upstreamUnreachable,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
}

func (s *goServer) dialTCP(w http.ResponseWriter, r *http.Request) {
	stream, err := s.open(r.PathValue("endpoint"))
	if err != nil {
		upstreamUnreachable(w, r, err)
		return
	}
	upgrader := websocket.Upgrader{}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		_ = stream.Close()
		return
	}
	joinConns(newTunnelConn(ws), stream)
}

func (s *goServer) listTunnels(w http.ResponseWriter, _ *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	list := []fields{}
	for _, entry := range s.tunnels {
		list = append(list, fields{
			"endpoint": entry.endpoint, "headers": entry.request, "streams": entry.session.NumStreams(),
		})
	}
	_ = json.NewEncoder(w).Encode(list)
}

func (s *goServer) listListeners(w http.ResponseWriter, _ *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	_ = json.NewEncoder(w).Encode(s.listeners)
}

// shortly is how long a tunnel stays open after a frame, so that an RST doesn't overtake the frame.
const shortly = 50 * time.Millisecond
