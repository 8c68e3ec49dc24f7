package main

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// authenticate requires a token signed with the HMAC secret, checked by the Go program's library, and answers as the Go
// program does. Without a secret it accepts every request.
func (s *goServer) authenticate(next http.Handler, endpointOf func(*http.Request) string) http.Handler {
	if s.secret == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if message := s.refusalOf(r, endpointOf(r)); message != "" {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"`+message+`"}`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusalOf returns the error message for a request that isn't accepted; empty for one that is.
func (s *goServer) refusalOf(r *http.Request, endpoint string) string {
	credential := r.Header.Get("X-Piko-Authorization")
	if credential == "" {
		credential = r.Header.Get("Authorization")
	}
	if credential == "" {
		return "missing authorization"
	}
	scheme, text, found := strings.Cut(credential, " ")
	if !found {
		return "invalid authorization"
	}
	if scheme != "Bearer" {
		return "unsupported auth type"
	}
	var parsed claims
	_, err := jwt.ParseWithClaims(text, &parsed, func(*jwt.Token) (any, error) { return []byte(s.secret), nil },
		jwt.WithValidMethods([]string{"HS256", "HS384", "HS512"}))
	if errors.Is(err, jwt.ErrTokenExpired) {
		return "expired token"
	}
	if err != nil {
		return "invalid token"
	}
	if allowed := parsed.Piko.Endpoints; len(allowed) > 0 && !slices.Contains(allowed, endpoint) {
		return "endpoint not permitted"
	}
	return ""
}
