package doctor

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate with those above it, and its key.
func writePair(t *testing.T, leaf *issuer, above ...*issuer) (certFile, keyFile string) {
	t.Helper()
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	var text []byte
	for _, i := range append([]*issuer{leaf}, above...) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	if err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string][]byte{certFile: text, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestCertificate(t *testing.T) {
	from, to := time.Now().Add(-time.Hour), time.Now().Add(90*day+time.Hour)
	root := (*issuer)(nil).issue(t, "Root", true, from, to)
	middle := root.issue(t, "Middle", true, from, to)
	good := middle.issue(t, "mx.example.org", false, from, to)
	byRoot := root.issue(t, "mx.example.org", false, from, to)
	self := (*issuer)(nil).issue(t, "mx.example.org", false, from, to)
	foreign := (*issuer)(nil).issue(t, "Foreign", true, from, to)
	lasting := func(since, d time.Duration) *issuer {
		return root.issue(t, "mx.example.org", false, time.Now().Add(since), time.Now().Add(d))
	}
	until := func(d time.Duration) *issuer { return lasting(-70*day, d) }
	const unknownRoot = "warning certificate: does not trust its authority “Root”"
	const valid = "good certificate: valid for 90 days more"
	known := x509.NewCertPool()
	known.AddCert(root.cert)
	for name, c := range map[string]struct {
		chain []*issuer
		want  []string
	}{
		"whole chain":   {[]*issuer{good, middle}, []string{valid, unknownRoot}},
		"with the root": {[]*issuer{good, middle, root}, []string{valid, unknownRoot}},
		"leaf alone":    {[]*issuer{good}, []string{valid, "problem certificate: that of its issuer “Middle” is missing"}},
		"out of order":  {[]*issuer{good, foreign}, []string{valid, "problem certificate: are not in order"}},
		"self-signed":   {[]*issuer{self}, []string{valid, "warning certificate: it is signed by itself"}},
		"other name":    {[]*issuer{root.issue(t, "other.example", false, from, to), root}, []string{valid, "problem certificate: it is not for mx.example.org", unknownRoot}},
		"20 days":       {[]*issuer{until(20*day + time.Hour), root}, []string{"warning certificate: it expires in 20 days", unknownRoot}},
		"21 days":       {[]*issuer{until(21*day + time.Hour), root}, []string{"good certificate: valid for 21 days", unknownRoot}},
		"6 days":        {[]*issuer{until(6*day + time.Hour), root}, []string{"problem certificate: it expires in 6 days", unknownRoot}},
		"short life":    {[]*issuer{lasting(-day, 5*day+time.Hour), root}, []string{"good certificate: valid for 5 days", unknownRoot}},
		"short, ends":   {[]*issuer{lasting(-5*day, 29*time.Hour+time.Minute), root}, []string{"warning certificate: it expires in 29 hours", unknownRoot}},
		"expired":       {[]*issuer{until(-time.Minute), root}, []string{"problem certificate: it expired on ", unknownRoot}},
		"not yet valid": {[]*issuer{root.issue(t, "mx.example.org", false, time.Now().Add(time.Hour), to), root}, []string{"problem certificate: it is not valid before", unknownRoot}},
		"by the root":   {[]*issuer{byRoot, root}, []string{valid, unknownRoot}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := visitTo(t, Server{}, zone{}, nil)
			v.Certificate, v.Key = writePair(t, c.chain[0], c.chain[1:]...)
			shows(t, v.checkCertificate(t.Context()), c.want...)
			for i, want := range c.want {
				if want == unknownRoot {
					c.want[i] = "good certificate: the chain is complete, and this system trusts it"
				}
			}
			v.Roots = known
			shows(t, v.checkCertificate(t.Context()), c.want...)
		})
	}
}

func TestCertificateOfThePrivateCA(t *testing.T) {
	v := visitTo(t, Server{CA: "/data/tls/ca.pem", Certificate: filepath.Join(t.TempDir(), "none.pem")}, zone{}, nil)
	shows(t, v.checkCertificate(t.Context()), "note certificate: there is none yet")
	ca := (*issuer)(nil).issue(t, "CA", true, time.Now().Add(-time.Hour), time.Now().Add(30*day))
	v.Certificate, v.Key = writePair(t, ca.issue(t, "mx.example.org", false, time.Now().Add(-85*day), time.Now().Add(5*day)), ca)
	found := v.checkCertificate(t.Context())
	shows(t, found, "problem certificate: it expires in 4 days", "note certificate: a private CA of this server")
	if want := "the server renews it by itself while it runs; see that it runs and may write " + v.Certificate; found[0].Do != want {
		t.Errorf("do %q", found[0].Do)
	}
}

func TestCertificateOfAnACMEAuthority(t *testing.T) {
	v := visitTo(t, Server{Authority: "https://acme.example/directory", Certificate: filepath.Join(t.TempDir(), "none.pem")}, zone{}, nil)
	found := v.checkCertificate(t.Context())
	shows(t, found, "warning certificate: there is none yet; the server gets one from https://acme.example/directory")
	if f := found[0]; !strings.Contains(f.Do, "port 80 or 443 of mx.example.org") || strings.Contains(f.Do, "tls.certificate") {
		t.Errorf("do %q", f.Do)
	}
	ca := (*issuer)(nil).issue(t, "CA", true, time.Now().Add(-time.Hour), time.Now().Add(30*day))
	v.Certificate, v.Key = writePair(t, ca.issue(t, "mx.example.org", false, time.Now().Add(-85*day), time.Now().Add(5*day)), ca)
	if f := v.checkCertificate(t.Context())[0]; f.Level != Problem || !strings.HasPrefix(f.Do, "the server renews it by itself") {
		t.Errorf("near its end: %+v", f)
	}
	v.Certificate = filepath.Join(t.TempDir(), "damaged.pem")
	if err := os.WriteFile(v.Certificate, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := v.checkCertificate(t.Context())[0]; f.Level != Problem || f.Do != "see what the server's log says about the certificate" {
		t.Errorf("damaged: %+v", f)
	}
}

func TestCertificateFiles(t *testing.T) {
	from, to := time.Now().Add(-time.Hour), time.Now().Add(day)
	one, two := (*issuer)(nil).issue(t, "mx.example.org", false, from, to), (*issuer)(nil).issue(t, "mx.example.org", false, from, to)
	certFile, _ := writePair(t, one)
	_, keyFile := writePair(t, two)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ cert, key, want string }{
		"other key":   {certFile, keyFile, "problem certificate: private key does not match public key"},
		"no file":     {certFile + "x", keyFile, "problem certificate: no such file"},
		"key first":   {keyFile, certFile, "problem certificate: holds no PEM certificate"},
		"no key file": {certFile, keyFile + "x", "problem certificate: no such file"},
		"garbage":     {garbage, keyFile, "problem certificate: malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			v := visitTo(t, Server{Certificate: c.cert, Key: c.key}, zone{}, nil)
			shows(t, v.checkCertificate(t.Context()), c.want)
		})
	}
}

func TestRSAKeyIsDear(t *testing.T) {
	v := visitTo(t, Server{}, zone{}, nil)
	for bits, want := range map[int]string{2048: "note certificate: its key is RSA with 2048 bits", 1024: "warning certificate: its key is RSA with 1024 bits"} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		cert := *(*issuer)(nil).issue(t, "mx.example.org", false, time.Now().Add(-time.Hour), time.Now().Add(30*day)).cert
		cert.PublicKey = &key.PublicKey
		found := v.judgeChain([]*x509.Certificate{&cert}, time.Now())
		shows(t, found[len(found)-1:], want)
	}
}
