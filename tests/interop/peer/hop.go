package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
)

// The hop: a request for an endpoint that has no tunnel here goes to another node, unless it came from one.

// hop serves a request here, or through the node that has its endpoint.
func (s *goServer) hop(here http.Handler, endpointOf func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endpoint := endpointOf(r)
		s.lock.Lock()
		node, known := s.nodes[endpoint]
		s.lock.Unlock()
		if !known || r.Header.Get("X-Piko-Forward") == "true" || len(s.of(endpoint)) > 0 {
			here.ServeHTTP(w, r)
			return
		}
		(&httputil.ReverseProxy{
			Director: func(out *http.Request) {
				out.URL.Scheme, out.URL.Host = "http", node
				out.Header.Set("X-Piko-Forward", "true")
			},
			Transport:     &http.Transport{DisableKeepAlives: true},
			FlushInterval: -1,
			ErrorHandler:  upstreamUnreachable,
			ErrorLog:      log.New(io.Discard, "", 0),
		}).ServeHTTP(w, r)
	})
}

// setNode records that the node with proxy address ?addr= has ?endpoint=.
func (s *goServer) setNode(_ http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.lock.Lock()
	defer s.lock.Unlock()
	s.nodes[query.Get("endpoint")] = query.Get("addr")
}
