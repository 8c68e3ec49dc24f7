// Command peer is an independent Piko peer for the interop tests. It is built on the Go libraries that Piko v0.9.0, the Go
// program, uses (its yamux fork and gorilla/websocket), so that our server, agent and forwarder are tested against those
// libraries and not against our own reading of them.
//
// Every subcommand prints one JSON object per line on stdout: the test harness waits for these events.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	commands := map[string]func([]string) error{
		"agent":   runAgent,
		"dial":    runDial,
		"forward": runForward,
		"server":  runServer,
		"echo":    runEcho,
		"tokens":  runTokens,
	}
	command, known := commands[os.Args[1]]
	if !known {
		usage()
	}
	if err := command(os.Args[2:]); err != nil {
		emit("failed", fields{"error": err.Error()})
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: peer agent|dial|forward|server|echo|tokens [flags]")
	os.Exit(2)
}
