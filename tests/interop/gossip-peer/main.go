// A gossip peer for tests, built on the Go library that Go Piko uses. It follows Go Piko's protocol and rules, prints what
// it learns as JSON lines, and takes commands on stdin: join ADDR, upsert KEY VALUE, delete KEY, leave.

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

var stdout sync.Mutex

func emit(event string, fields map[string]any) {
	line := map[string]any{"msg": event}
	for key, value := range fields {
		line[key] = value
	}
	text, _ := json.Marshal(line)
	stdout.Lock()
	defer stdout.Unlock()
	fmt.Println(string(text))
}

func main() {
	id := flag.String("id", "gonode", "node id")
	bind := flag.String("bind", "127.0.0.1:0", "address of the gossip port")
	interval := flag.Duration("interval", 100*time.Millisecond, "time between rounds")
	maxPacket := flag.Int("max-packet-size", 1400, "largest packet")
	flag.Parse()
	g, err := listen(*id, *bind, *maxPacket, emit)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go g.rounds(*interval)
	emit("listening", map[string]any{"addr": g.from.Addr})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if err := run(g, words); err != nil {
			emit("failed", map[string]any{"error": err.Error()})
		}
	}
}

func run(g *gossip, words []string) error {
	switch {
	case words[0] == "join" && len(words) == 2:
		return g.join(words[1])
	case words[0] == "leave" && len(words) == 1:
		return g.leave()
	case words[0] == "upsert" && len(words) == 3, words[0] == "delete" && len(words) == 2:
		g.state.mutex.Lock()
		defer g.state.mutex.Unlock()
		if words[0] == "delete" {
			g.state.set(words[1], "", false, true)
		} else {
			g.state.set(words[1], words[2], false, false)
		}
		return nil
	}
	return fmt.Errorf("unknown command: %s", strings.Join(words, " "))
}
