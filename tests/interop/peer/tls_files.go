package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"os"
)

// tlsFiles are the PEM files of one side of TLS connections: its certificate and key, and the authority that it trusts.
type tlsFiles struct {
	cert, key, cas string
}

func (f *tlsFiles) register(flags *flag.FlagSet) {
	flags.StringVar(&f.cert, "tls-cert", "", "certificate to show")
	flags.StringVar(&f.key, "tls-key", "", "its key")
	flags.StringVar(&f.cas, "tls-cas", "", "authorities of the other side")
}

// load reads the files, as the Go program does; it returns nil if there are none.
func (f *tlsFiles) load() (*tls.Config, error) {
	if f.cert == "" && f.cas == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if f.cas != "" {
		pem, err := os.ReadFile(f.cas)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("no authority in " + f.cas)
		}
		config.RootCAs, config.ClientCAs = pool, pool
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}
