package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"
)

// runDial opens one connection by the TCP dial protocol. Without --send-bytes it connects stdin and stdout to it; with
// --send-bytes it sends that many seeded random bytes, expects them back, and compares the checksums.
func runDial(args []string) error {
	flags := flag.NewFlagSet("dial", flag.ExitOnError)
	base := flags.String("url", "http://127.0.0.1:8000", "proxy port of the server")
	endpoint := flags.String("endpoint", "", "endpoint to dial")
	token := flags.String("token", "", "bearer token")
	var files tlsFiles
	files.register(flags)
	count := flags.Int64("send-bytes", 0, "echo check: how many bytes to send and expect back")
	seed := flags.Uint64("seed", 1, "echo check: seed of the bytes")
	_ = flags.Parse(args)

	conn, _, err := dialTunnel(context.Background(), *base, "/_piko/v1/tcp/"+*endpoint, *token, "", files)
	if err != nil {
		return err
	}
	if *count == 0 {
		go func() {
			_, _ = io.Copy(conn, os.Stdin)
			_ = conn.Close()
		}()
		_, err = io.Copy(os.Stdout, conn)
		return err
	}
	return checkEcho(conn, *count, *seed)
}

func checkEcho(conn io.ReadWriteCloser, count int64, seed uint64) error {
	started := time.Now()
	sent, received := sha256.New(), sha256.New()
	writing := make(chan error, 1)
	go func() { writing <- writeSeeded(conn, sent, count, seed) }()
	n, err := io.CopyN(received, conn, count)
	if err != nil {
		emit("echo", fields{"received": n, "error": err.Error()})
		return fmt.Errorf("after %d of %d bytes: %w", n, count, err)
	}
	if err := <-writing; err != nil {
		return err
	}
	_ = conn.Close()
	equal := hex.EncodeToString(sent.Sum(nil)) == hex.EncodeToString(received.Sum(nil))
	emit("echo", fields{
		"received": n, "equal": equal, "sha256": hex.EncodeToString(received.Sum(nil)),
		"ms": time.Since(started).Milliseconds(),
	})
	if !equal {
		return fmt.Errorf("the echo of %d bytes differs", count)
	}
	return nil
}

func writeSeeded(to io.Writer, sum hash.Hash, count int64, seed uint64) error {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	chunk := make([]byte, 32*1024)
	for count > 0 {
		piece := chunk[:min(count, int64(len(chunk)))]
		_, _ = random.Read(piece)
		sum.Write(piece)
		if _, err := to.Write(piece); err != nil {
			return err
		}
		count -= int64(len(piece))
	}
	return nil
}

// runForward listens on a local port and forwards each connection to an endpoint, as `piko forward tcp` does.
func runForward(args []string) error {
	flags := flag.NewFlagSet("forward", flag.ExitOnError)
	base := flags.String("url", "http://127.0.0.1:8000", "proxy port of the server")
	endpoint := flags.String("endpoint", "", "endpoint to dial")
	token := flags.String("token", "", "bearer token")
	var files tlsFiles
	files.register(flags)
	address := flags.String("listen", "127.0.0.1:0", "local address")
	_ = flags.Parse(args)

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	emit("listening", fields{"addr": listener.Addr().String()})
	for {
		local, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			remote, _, err := dialTunnel(context.Background(), *base, "/_piko/v1/tcp/"+*endpoint, *token, "", files)
			if err != nil {
				emit("dial failed", fields{"error": err.Error()})
				_ = local.Close()
				return
			}
			joinConns(remote, local)
		}()
	}
}

// runEcho runs a TCP service that echoes its input.
func runEcho(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	address := flags.String("listen", "127.0.0.1:0", "local address")
	_ = flags.Parse(args)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	emit("listening", fields{"addr": listener.Addr().String()})
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}()
	}
}
