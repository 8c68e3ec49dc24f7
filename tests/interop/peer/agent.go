package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/andydunstall/yamux"
)

// agentListener is a net.Listener over a tunnel that reconnects by the Go client's rules: net.ErrClosed (a close frame, or a
// plain end of the connection) ends the listener; after any other error it reconnects.
type agentListener struct {
	base, endpoint, token, tenant string
	reconnectAlways               bool
	tls                           tlsFiles

	lock    sync.Mutex
	session *yamux.Session
	closed  atomic.Bool
	streams atomic.Int64
}

func (l *agentListener) connect(ctx context.Context) error {
	wait := 100 * time.Millisecond
	for attempt := 1; ; attempt++ {
		conn, header, err := dialTunnel(ctx, l.base, "/piko/v1/upstream/"+l.endpoint, l.token, l.tenant, l.tls)
		if err == nil {
			config := yamux.DefaultConfig()
			config.LogOutput = os.Stderr
			session, err := yamux.Client(conn, config)
			if err != nil {
				return err
			}
			l.lock.Lock()
			l.session = session
			l.lock.Unlock()
			emit("connected", fields{"endpoint": l.endpoint, "attempt": attempt, "headers": header})
			return nil
		}
		var refused *refusal
		if errors.As(err, &refused) && !refused.retryable() {
			return fmt.Errorf("connect: %w", err)
		}
		emit("retry", fields{"attempt": attempt, "error": err.Error()})
		jittered := time.Duration(float64(min(wait, 15*time.Second)) * (1 + rand.Float64()/10))
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect: %w", err)
		case <-time.After(jittered):
		}
		wait = 2 * jittered
	}
}

func (l *agentListener) current() *yamux.Session {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.session
}

func (l *agentListener) Accept() (net.Conn, error) {
	for {
		stream, err := l.current().AcceptStreamWithContext(context.Background())
		if err == nil {
			emit("accept", fields{"streams": l.streams.Add(1)})
			return stream, nil
		}
		final := errors.Is(err, net.ErrClosed) && !l.reconnectAlways
		emit("disconnected", fields{"reason": err.Error(), "final": final || l.closed.Load()})
		if final || l.closed.Load() {
			return nil, errors.New("closed")
		}
		_ = l.current().Close()
		if err := l.connect(context.Background()); err != nil {
			return nil, err
		}
	}
}

func (l *agentListener) Close() error   { return nil }
func (l *agentListener) Addr() net.Addr { return l.current().Addr() }

// drain asks the server to open no more streams; streams in progress continue.
func (l *agentListener) drain() {
	l.closed.Store(true)
	_ = l.current().GoAway()
}

func runAgent(args []string) error {
	flags := flag.NewFlagSet("agent", flag.ExitOnError)
	listener := &agentListener{}
	flags.StringVar(&listener.base, "url", "http://127.0.0.1:8001", "upstream port of the server")
	flags.StringVar(&listener.endpoint, "endpoint", "", "endpoint to listen on")
	flags.StringVar(&listener.token, "token", "", "bearer token")
	flags.StringVar(&listener.tenant, "tenant", "", "tenant id")
	flags.BoolVar(&listener.reconnectAlways, "reconnect-always", false, "reconnect after a clean close too")
	listener.tls.register(flags)
	target := flags.String("target", "", "host:port of the service")
	mode := flags.String("mode", "http", "http or tcp")
	graceful := flags.Bool("graceful", true, "drain on SIGTERM")
	_ = flags.Parse(args)

	// As in the Go program, only the first connection attempt has a timeout.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	err := listener.connect(ctx)
	cancel()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	if *graceful {
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	}
	if *mode == "tcp" {
		return serveTCP(listener, *target, signals)
	}
	return serveHTTP(listener, *target, signals)
}

func serveHTTP(listener *agentListener, target string, signals <-chan os.Signal) error {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: target})
	proxy.FlushInterval = -1
	proxy.ErrorHandler = upstreamUnreachable
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	server := &http.Server{Handler: proxy, ErrorLog: log.New(os.Stderr, "", 0)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: http serve: %w", err)
	case <-signals:
	}
	emit("draining", nil)
	listener.drain()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = server.Shutdown(ctx)
	_ = listener.current().Close()
	emit("stopped", nil)
	return nil
}

func serveTCP(listener *agentListener, target string, signals <-chan os.Signal) error {
	go func() {
		<-signals
		emit("draining", nil)
		listener.drain()
		_ = listener.current().Close()
		emit("stopped", nil)
		os.Exit(0)
	}()
	for {
		stream, err := listener.Accept()
		if listener.closed.Load() {
			select {} // The goroutine above ends the process.
		}
		if err != nil {
			return fmt.Errorf("serve: accept: %w", err)
		}
		go func() {
			service, err := net.Dial("tcp", target)
			if err != nil {
				emit("unreachable", fields{"error": err.Error()})
				_ = stream.Close()
				return
			}
			joinConns(stream, service)
		}()
	}
}

func upstreamUnreachable(w http.ResponseWriter, _ *http.Request, err error) {
	emit("error", fields{"error": err.Error()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, "{\"error\":\"upstream unreachable\"}\n")
}

// joinConns copies in both directions; the end of either closes both, as in the Go program.
func joinConns(a, b io.ReadWriteCloser) {
	var once sync.Once
	closeBoth := func() { _ = a.Close(); _ = b.Close() }
	var done sync.WaitGroup
	done.Add(2)
	copyOne := func(to io.Writer, from io.Reader) {
		defer done.Done()
		defer once.Do(closeBoth)
		_, _ = io.Copy(to, from)
	}
	go copyOne(a, b)
	go copyOne(b, a)
	done.Wait()
}
