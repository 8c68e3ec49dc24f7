module github.com/piko/tests/interop/peer

go 1.25.5

require (
	github.com/andydunstall/yamux v0.1.6
	github.com/golang-jwt/jwt/v5 v5.3.0
	github.com/gorilla/websocket v1.5.3
)
