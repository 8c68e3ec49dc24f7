package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the Go program's tokens hold besides the registered claims.
type pikoClaims struct {
	Endpoints []string `json:"endpoints"`
}

type claims struct {
	jwt.RegisteredClaims
	Piko pikoClaims `json:"piko"`
}

// runTokens makes keys, and tokens of them by the library that the Go program uses: good ones, and some that are refused.
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
	hour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	past := jwt.NewNumericDate(time.Now().Add(-time.Minute))
	registered := jwt.RegisteredClaims{ExpiresAt: hour, Subject: "go", Audience: jwt.ClaimStrings{"piko"}}
	web := claims{registered, pikoClaims{[]string{"web"}}}
	expired := web
	expired.ExpiresAt = past
	early := web
	early.NotBefore = hour
	audience := web
	audience.Audience = jwt.ClaimStrings{"other"}
	elsewhere := web
	elsewhere.Piko.Endpoints = []string{"other"}
	anywhere := web
	anywhere.Piko.Endpoints = nil
	none := web
	none.ExpiresAt = nil
	for _, each := range []struct {
		name   string
		method jwt.SigningMethod
		key    any
		claims claims
	}{
		{"HS256", jwt.SigningMethodHS256, []byte(*secret), web},
		{"HS384", jwt.SigningMethodHS384, []byte(*secret), web},
		{"HS512", jwt.SigningMethodHS512, []byte(*secret), web},
		{"RS256", jwt.SigningMethodRS256, rsaKey, web},
		{"RS384", jwt.SigningMethodRS384, rsaKey, web},
		{"RS512", jwt.SigningMethodRS512, rsaKey, web},
		{"ES256", jwt.SigningMethodES256, ecKey, web},
		{"without expiry", jwt.SigningMethodES256, ecKey, none},
		{"PS256", jwt.SigningMethodPS256, rsaKey, web},
		{"none", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, web},
		{"confused", jwt.SigningMethodHS256, []byte(rsaPEM), web},
		{"expired", jwt.SigningMethodRS256, rsaKey, expired},
		{"early", jwt.SigningMethodRS256, rsaKey, early},
		{"audience", jwt.SigningMethodRS256, rsaKey, audience},
		{"elsewhere", jwt.SigningMethodRS256, rsaKey, elsewhere},
		{"null endpoints", jwt.SigningMethodRS256, rsaKey, anywhere},
	} {
		token, err := jwt.NewWithClaims(each.method, each.claims).SignedString(each.key)
		if err != nil {
			return err
		}
		emit("token", fields{"name": each.name, "token": token})
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
