module github.com/piko/tests/interop/gossip-peer

go 1.25.5

require github.com/ugorji/go/codec v1.3.1
