package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
)

// The hop to another node: an endpoint without a tunnel here is another node's, unless the request has come from one.

// hop serves a request here, or by the node that has its endpoint.
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

// setNode says which node has ?endpoint=, by its proxy address, ?addr=.
func (s *goServer) setNode(_ http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s.lock.Lock()
	defer s.lock.Unlock()
	s.nodes[query.Get("endpoint")] = query.Get("addr")
}
