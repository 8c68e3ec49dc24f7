// Command grpc-peer runs grpc-go for the interop tests: the service from the gRPC project's interoperability tests, with
// health checking and reflection, and a client that makes the calls of those tests.
//
// Every subcommand prints one JSON object per line on stdout: the test harness waits for these events.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
)

func main() {
	commands := map[string]func([]string) error{"serve": serve, "call": call}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: grpc-peer serve|call [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-peer:", err)
		os.Exit(1)
	}
}

func emit(event string, more map[string]any) {
	more["event"] = event
	_ = json.NewEncoder(os.Stdout).Encode(more)
}

func serve([]string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	emit("listening", map[string]any{"addr": listener.Addr().String()})
	return server.Serve(listener)
}

// The calls, under the names that the interoperability tests use. Each ends the program if the response is wrong.
var cases = []struct {
	name string
	run  func(context.Context, testgrpc.TestServiceClient)
}{
	{"empty_unary", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyUnaryCall(ctx, c) }},
	{"large_unary", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoLargeUnaryCall(ctx, c) }},
	{"compressed_unary", func(ctx context.Context, c testgrpc.TestServiceClient) {
		interop.DoLargeUnaryCall(ctx, c, grpc.UseCompressor(gzip.Name))
	}},
	{"client_streaming", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoClientStreaming(ctx, c) }},
	{"server_streaming", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoServerStreaming(ctx, c) }},
	{"ping_pong", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoPingPong(ctx, c) }},
	{"empty_stream", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyStream(ctx, c) }},
	{"timeout_on_sleeping_server", func(ctx context.Context, c testgrpc.TestServiceClient) {
		interop.DoTimeoutOnSleepingServer(ctx, c)
	}},
	{"cancel_after_begin", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCancelAfterBegin(ctx, c) }},
	{"cancel_after_first_response", func(ctx context.Context, c testgrpc.TestServiceClient) {
		interop.DoCancelAfterFirstResponse(ctx, c)
	}},
	{"status_code_and_message", func(ctx context.Context, c testgrpc.TestServiceClient) {
		interop.DoStatusCodeAndMessage(ctx, c)
	}},
	{"special_status_message", func(ctx context.Context, c testgrpc.TestServiceClient) {
		interop.DoSpecialStatusMessage(ctx, c)
	}},
	{"custom_metadata", func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCustomMetadata(ctx, c) }},
	{"unimplemented_method", nil},
}

func call(args []string) error {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	target := flags.String("target", "", "Address of the proxy port.")
	endpoint := flags.String("endpoint", "", "Endpoint, the first label of the host.")
	rounds := flags.Int("rounds", 1, "How often all calls are made.")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := grpc.NewClient(
		"passthrough:///"+*target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(*endpoint+".example.com"),
	)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := testgrpc.NewTestServiceClient(conn)
	var names []string
	for round := 0; round < *rounds; round++ {
		names = names[:0]
		for _, one := range cases {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			if one.run == nil {
				interop.DoUnimplementedMethod(ctx, conn)
			} else {
				one.run(ctx, client)
			}
			cancel()
			names = append(names, one.name)
		}
	}
	emit("called", map[string]any{"cases": strings.Join(names, " ")})
	return nil
}
