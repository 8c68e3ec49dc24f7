// What the peer knows about all nodes, by Go Piko's rules, including those that let dead nodes return.

package main

import (
	"math/rand"
	"strconv"
	"sync"
	"time"
)

const (
	leftKey    = "_internal:left"
	compactKey = "_internal:compact"
	expiry     = time.Minute
)

type node struct {
	id, addr    string
	version     uint64
	left        bool
	unreachable bool
	entries     map[string]entry
	lastSeen    time.Time
	mean        time.Duration
	expires     time.Time
}

type state struct {
	mutex sync.Mutex
	self  *node
	nodes map[string]*node
	emit  func(event string, fields map[string]any)
}

func newState(id, addr string, emit func(string, map[string]any)) *state {
	self := &node{id: id, addr: addr, entries: map[string]entry{}}
	return &state{self: self, nodes: map[string]*node{id: self}, emit: emit}
}

func (s *state) set(key, value string, internal, deleted bool) {
	s.self.version++
	s.self.entries[key] = entry{key, value, s.self.version, internal, deleted}
	if key == leftKey {
		s.self.left = true
	}
}

func (s *state) digest() []digestEntry {
	var entries []digestEntry
	for _, n := range s.nodes {
		entries = append(entries, digestEntry{n.id, n.addr, n.version, n.left})
	}
	rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	return entries
}

func (n *node) above(version uint64) []entry {
	var entries []entry
	for _, e := range n.entries {
		if e.Version > version {
			entries = append(entries, e)
		}
	}
	for i := range entries {
		for j := i; j > 0 && entries[j].Version < entries[j-1].Version; j-- {
			entries[j], entries[j-1] = entries[j-1], entries[j]
		}
	}
	return entries
}

// delta returns the entries that the sender of the digest lacks; if full is set, also the nodes that it doesn't name.
func (s *state) delta(digest []digestEntry, full bool) []nodeDelta {
	var nodes []nodeDelta
	named := map[string]bool{}
	for _, d := range digest {
		named[d.ID] = true
		if n := s.nodes[d.ID]; n != nil {
			if entries := n.above(d.Version); entries != nil {
				nodes = append(nodes, nodeDelta{n.id, n.addr, entries})
			}
		}
	}
	for _, n := range s.nodes {
		if full && !named[n.id] {
			nodes = append(nodes, nodeDelta{n.id, n.addr, n.above(0)})
		}
	}
	return nodes
}

func (s *state) learn(id, addr string) *node {
	if n := s.nodes[id]; n != nil {
		return n
	}
	n := &node{id: id, addr: addr, entries: map[string]entry{}, lastSeen: time.Now(), mean: 200 * time.Millisecond}
	s.nodes[id] = n
	s.emit("join", map[string]any{"id": id, "addr": addr})
	return n
}

func (s *state) applyDigest(digest []digestEntry) {
	for _, d := range digest {
		if s.nodes[d.ID] == nil && !d.Left {
			s.learn(d.ID, d.Addr)
		}
	}
}

func (s *state) applyDelta(nodes []nodeDelta) {
	for _, delta := range nodes {
		if delta.ID == s.self.id {
			continue
		}
		n := s.learn(delta.ID, delta.Addr)
		for _, e := range delta.Entries {
			if e.Version > n.version && !s.apply(n, e) {
				break
			}
		}
	}
}

func (s *state) apply(n *node, e entry) bool {
	n.entries[e.Key] = e
	n.version = e.Version
	switch {
	case e.Internal && e.Key == leftKey:
		n.left = true
		n.expires = time.Now().Add(expiry)
		s.emit("leave", map[string]any{"id": n.id})
	case e.Internal && e.Key == compactKey:
		version, err := strconv.ParseUint(e.Value, 10, 64)
		if err != nil {
			return false
		}
		for key, old := range n.entries {
			if old.Version <= version {
				delete(n.entries, key)
				if !old.Deleted {
					s.emit("delete", map[string]any{"id": n.id, "key": key})
				}
			}
		}
		s.emit("compact", map[string]any{"id": n.id, "entries": len(n.entries)})
	case e.Internal:
	case e.Deleted:
		s.emit("delete", map[string]any{"id": n.id, "key": e.Key})
	default:
		s.emit("upsert", map[string]any{"id": n.id, "key": e.Key, "value": e.Value})
	}
	return true
}

func (s *state) markSeen(id string) {
	if n := s.nodes[id]; n != nil && n != s.self {
		n.mean += (time.Since(n.lastSeen) - n.mean) / 50
		n.lastSeen = time.Now()
	}
}

// check marks silent nodes as unreachable, and forgets those that have been unreachable for a long time.
func (s *state) check() {
	for id, n := range s.nodes {
		if n == s.self {
			continue
		}
		if !n.expires.IsZero() && time.Now().After(n.expires) {
			delete(s.nodes, id)
			s.emit("expired", map[string]any{"id": id})
			continue
		}
		if n.left {
			continue
		}
		silent := time.Since(n.lastSeen) > 20*max(n.mean, 50*time.Millisecond)
		if silent != n.unreachable {
			n.unreachable = silent
			n.expires = time.Time{}
			if silent {
				n.expires = time.Now().Add(expiry)
			}
			s.emit("reachable", map[string]any{"id": id, "reachable": !silent})
		}
	}
}
