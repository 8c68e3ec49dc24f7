// The messages of the gossip protocol, as the Go library encodes structs: as maps with these keys.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ugorji/go/codec"
)

const (
	typeDigest = 1
	typeDelta  = 2
	typeJoin   = 3
	typeLeave  = 4
)

type digestHeader struct {
	NodeID  string `codec:"node_id"`
	Addr    string `codec:"addr"`
	Request bool   `codec:"request"`
}

type deltaHeader struct {
	NodeID  string `codec:"node_id"`
	Addr    string `codec:"addr"`
	Entries int    `codec:"entries"`
}

type streamHeader struct {
	NodeID string `codec:"node_id"`
	Addr   string `codec:"addr"`
}

type digestEntry struct {
	ID      string `codec:"id"`
	Addr    string `codec:"addr"`
	Version uint64 `codec:"version"`
	Left    bool   `codec:"left"`
}

type nodeDelta struct {
	ID      string  `codec:"id"`
	Addr    string  `codec:"addr"`
	Entries []entry `codec:"entries"`
}

type entry struct {
	Key      string `codec:"key"`
	Value    string `codec:"value"`
	Version  uint64 `codec:"version"`
	Internal bool   `codec:"internal"`
	Deleted  bool   `codec:"deleted"`
}

// handle has the library's zero settings, as in Go Piko.
var handle codec.MsgpackHandle

func encode(prefix []byte, values ...any) []byte {
	buffer := bytes.NewBuffer(prefix)
	encoder := codec.NewEncoder(buffer, &handle)
	for _, value := range values {
		if err := encoder.Encode(value); err != nil {
			panic(err)
		}
	}
	return buffer.Bytes()
}

// digestPacket encodes as many of the entries as fit.
func digestPacket(header digestHeader, entries []digestEntry, max int) []byte {
	packet := encode([]byte{typeDigest, 0}, header)
	for _, e := range entries {
		more := encode(nil, e)
		if len(packet)+len(more) > max {
			break
		}
		packet = append(packet, more...)
	}
	return packet
}

// deltaPacket stops at the first entry that doesn't fit. As in Go Piko, each node's head still counts all of its entries.
func deltaPacket(from streamHeader, nodes []nodeDelta, max int) []byte {
	packet := encode([]byte{typeDelta, 0}, deltaHeader{NodeID: from.NodeID, Addr: from.Addr})
	for _, node := range nodes {
		head := encode(nil, deltaHeader{NodeID: node.ID, Addr: node.Addr, Entries: len(node.Entries)})
		if len(packet)+len(head) > max {
			return packet
		}
		packet = append(packet, head...)
		for _, e := range node.Entries {
			more := encode(nil, e)
			if len(packet)+len(more) > max {
				return packet
			}
			packet = append(packet, more...)
		}
	}
	return packet
}

func parseDigest(packet []byte) (digestHeader, []digestEntry, error) {
	decoder := codec.NewDecoder(bytes.NewReader(packet), &handle)
	var header digestHeader
	if err := decoder.Decode(&header); err != nil {
		return header, nil, fmt.Errorf("digest header: %w", err)
	}
	var entries []digestEntry
	for {
		var e digestEntry
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return header, entries, nil
		} else if err != nil {
			return header, nil, fmt.Errorf("digest entry: %w", err)
		}
		entries = append(entries, e)
	}
}

func parseDelta(packet []byte) (deltaHeader, []nodeDelta, error) {
	decoder := codec.NewDecoder(bytes.NewReader(packet), &handle)
	var header deltaHeader
	if err := decoder.Decode(&header); err != nil {
		return header, nil, fmt.Errorf("delta header: %w", err)
	}
	var nodes []nodeDelta
	for {
		var head deltaHeader
		if err := decoder.Decode(&head); errors.Is(err, io.EOF) {
			return header, nodes, nil
		} else if err != nil {
			return header, nil, fmt.Errorf("node header: %w", err)
		}
		node := nodeDelta{ID: head.NodeID, Addr: head.Addr}
		for i := 0; i < head.Entries; i++ {
			var e entry
			if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
				return header, append(nodes, node), nil
			} else if err != nil {
				return header, nil, fmt.Errorf("entry: %w", err)
			}
			node.Entries = append(node.Entries, e)
		}
		nodes = append(nodes, node)
	}
}
