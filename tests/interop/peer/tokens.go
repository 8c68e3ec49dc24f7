package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims of the Go program's tokens besides the registered ones.
type pikoClaims struct {
	Endpoints []string `json:"endpoints"`
}

type claims struct {
	jwt.RegisteredClaims
	Piko pikoClaims `json:"piko"`
}

// runTokens makes keys, and tokens with them, using the Go program's library: good tokens, and some that are refused.
func runTokens(args []string) error {
	flags := flag.NewFlagSet("tokens", flag.ContinueOnError)
	secret := flags.String("secret", "", "HMAC secret")
	if err := flags.Parse(args); err != nil {
		return err
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rsaPEM, err := publicPEM(&rsaKey.PublicKey)
	if err != nil {
		return err
	}
	ecPEM, err := publicPEM(&ecKey.PublicKey)
	if err != nil {
		return err
	}
	emit("keys", fields{"rsa": rsaPEM, "ecdsa": ecPEM})
	otherRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	otherEC, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return err
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return err
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	hour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	past := jwt.NewNumericDate(time.Now().Add(-time.Minute))
	good := func(change func(*claims)) claims {
		made := claims{
			jwt.RegisteredClaims{ExpiresAt: hour, Subject: "go", Audience: jwt.ClaimStrings{"piko"}, Issuer: "go"},
			pikoClaims{[]string{"web", "tcp"}},
		}
		if change != nil {
			change(&made)
		}
		return made
	}
	// Claims of a good token except one, whose value may have any type.
	with := func(name string, value any) jwt.MapClaims {
		made := jwt.MapClaims{"exp": hour.Unix(), "aud": "piko", "iss": "go"}
		made[name] = value
		return made
	}
	hs, rs, es := jwt.SigningMethodHS256, jwt.SigningMethodRS256, jwt.SigningMethodES256
	const invalid, expired, elsewhere = "invalid token", "expired token", "endpoint not permitted"
	for _, each := range []struct {
		name string
		// Error message for the token's sender; empty if the token is accepted.
		refusal string
		method  jwt.SigningMethod
		key     any
		claims  jwt.Claims
		header  map[string]any
	}{
		{"HS256", "", hs, []byte(*secret), good(nil), nil},
		{"HS384", "", jwt.SigningMethodHS384, []byte(*secret), good(nil), nil},
		{"HS512", "", jwt.SigningMethodHS512, []byte(*secret), good(nil), nil},
		{"RS256", "", rs, rsaKey, good(nil), nil},
		{"RS384", "", jwt.SigningMethodRS384, rsaKey, good(nil), nil},
		{"RS512", "", jwt.SigningMethodRS512, rsaKey, good(nil), nil},
		{"ES256", "", es, ecKey, good(nil), nil},
		{"without expiry", "", es, ecKey, good(func(c *claims) { c.ExpiresAt = nil }), nil},
		{"null endpoints", "", rs, rsaKey, good(func(c *claims) { c.Piko.Endpoints = nil }), nil},
		{"a list of audiences", "", rs, rsaKey, good(func(c *claims) { c.Audience = append(c.Audience, "other") }), nil},
		{"the name of a key", "", rs, rsaKey, good(nil), map[string]any{"kid": "any"}},

		{"another secret", invalid, hs, []byte("another"), good(nil), nil},
		{"an empty secret", invalid, hs, []byte{}, good(nil), nil},
		{"another RSA key", invalid, rs, otherRSA, good(nil), nil},
		{"another EC key", invalid, es, otherEC, good(nil), nil},
		{"the RSA key as a secret", invalid, hs, []byte(rsaPEM), good(nil), nil},
		{"the EC key as a secret", invalid, hs, []byte(ecPEM), good(nil), nil},
		{"PS256", invalid, jwt.SigningMethodPS256, rsaKey, good(nil), nil},
		{"PS512", invalid, jwt.SigningMethodPS512, rsaKey, good(nil), nil},
		{"ES384", invalid, jwt.SigningMethodES384, p384, good(nil), nil},
		{"ES512", invalid, jwt.SigningMethodES512, p521, good(nil), nil},
		{"EdDSA", invalid, jwt.SigningMethodEdDSA, edwards, good(nil), nil},
		{"none", invalid, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(nil), nil},
		{"None", invalid, hs, []byte(*secret), good(nil), map[string]any{"alg": "None"}},
		{"another alg", invalid, hs, []byte(*secret), good(nil), map[string]any{"alg": "RS256"}},
		{"something critical", invalid, rs, rsaKey, good(nil), map[string]any{"crit": []string{"exp"}}},
		{"8 KiB", invalid, rs, rsaKey, with("padding", strings.Repeat("x", 8192)), nil},
		{"revoked", invalid, rs, rsaKey, good(func(c *claims) { c.ID = "revoked" }), nil},

		{"expired", expired, rs, rsaKey, good(func(c *claims) { c.ExpiresAt = past }), nil},
		{"expired, and not yet valid", expired, rs, rsaKey, good(func(c *claims) { c.ExpiresAt, c.NotBefore = past, hour }), nil},
		{"expired, of another key", invalid, rs, otherRSA, good(func(c *claims) { c.ExpiresAt = past }), nil},
		{"not yet valid", invalid, rs, rsaKey, good(func(c *claims) { c.NotBefore = hour }), nil},
		{"another audience", invalid, rs, rsaKey, good(func(c *claims) { c.Audience = jwt.ClaimStrings{"other"} }), nil},
		{"no audience", invalid, rs, rsaKey, good(func(c *claims) { c.Audience = nil }), nil},
		{"another issuer", invalid, rs, rsaKey, good(func(c *claims) { c.Issuer = "other" }), nil},
		{"no issuer", invalid, rs, rsaKey, good(func(c *claims) { c.Issuer = "" }), nil},
		{"exp as text", invalid, rs, rsaKey, with("exp", "tomorrow"), nil},
		{"nbf as a list", invalid, rs, rsaKey, with("nbf", []int{1}), nil},
		{"aud as a number", invalid, rs, rsaKey, with("aud", 1), nil},
		{"iss as a list", invalid, rs, rsaKey, with("iss", []string{"go"}), nil},
		{"piko as text", invalid, rs, rsaKey, with("piko", "web"), nil},
		{"endpoints as text", invalid, rs, rsaKey, with("piko", map[string]any{"endpoints": "web"}), nil},
		{"another endpoint", elsewhere, rs, rsaKey, good(func(c *claims) { c.Piko.Endpoints = []string{"other"} }), nil},
		{"the endpoint in another case", elsewhere, rs, rsaKey, good(func(c *claims) { c.Piko.Endpoints = []string{"WEB"} }), nil},
	} {
		token := jwt.NewWithClaims(each.method, each.claims)
		for name, value := range each.header {
			token.Header[name] = value
		}
		signed, err := token.SignedString(each.key)
		if err != nil {
			return err
		}
		emit("token", fields{"name": each.name, "token": signed, "error": each.refusal})
	}
	return nil
}

func publicPEM(key any) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}
