package main

import (
	"encoding/json"
	"os"
	"sync"
)

type fields map[string]any

var eventLock sync.Mutex

// emit prints one event line. Lines never interleave.
func emit(event string, more fields) {
	record := fields{"event": event}
	for key, value := range more {
		record[key] = value
	}
	line, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	eventLock.Lock()
	defer eventLock.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}
