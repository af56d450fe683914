package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-1397b510/smarthost/auth"
)

// firstAccount is the name of the account that the first start makes if there is no accounts file.
const firstAccount = "laptop"

// firstRun is what a start did that nobody had configured, for the screen that tells of it.
type firstRun struct {
	Config  *Config
	CA      string // file of the private CA; "" if the certificate is the operator's
	Secret  string // of the account just made; "" if there were accounts
	Doors   []*door
	NewData bool
}

// makeFirstAccount makes the accounts file with one account, if there is no such file.
func makeFirstAccount(c *Config) (secret string, err error) {
	_, err = os.Stat(c.userFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return addLogin(c, auth.Login{Account: auth.Account{Name: firstAccount, Senders: []string{"*"}}})
}

// tell writes the screen: what was done, what is missing for real use, and two commands that work at once.
func (f *firstRun) tell(w io.Writer) {
	var done, missing []string
	if f.NewData {
		done = append(done, "data      "+f.Config.Data)
	}
	if f.Config.TLS.ACME {
		done = append(done, "asking    "+f.Config.TLS.ACMEDirectory+" for a certificate of "+f.Config.Hostname)
	}
	if f.CA != "" {
		done = append(done, "CA        "+f.CA+" (clients have to trust it)")
		missing = append(missing, "a certificate that clients trust by themselves: set tls.acme = true, or tls.certificate and tls.key")
	}
	if f.Secret != "" {
		done = append(done, "account   "+firstAccount+", password "+f.Secret+"  (shown this once)")
	}
	for _, d := range f.Doors {
		done = append(done, "listening "+d.String())
		if d.Moved {
			missing = append(missing, "port "+d.Wanted+", which this user may not open (root, CAP_NET_BIND_SERVICE or a port mapping can); "+d.Port()+" stands in for it")
		}
	}
	if !strings.Contains(f.Config.Hostname, ".") {
		missing = append(missing, fmt.Sprintf("a name in DNS: hostname is %q", f.Config.Hostname))
	}
	if f.Config.Forward.Relay == "" {
		missing = append(missing, "outgoing port 25 and reverse DNS for direct delivery, or a relay: set forward.relay")
	}
	fmt.Fprintf(w, "\nsmarthost runs. What this start has set up:\n    %s\n", strings.Join(done, "\n    "))
	if len(missing) > 0 {
		fmt.Fprintf(w, "Missing for real use (smarthost config > smarthost.toml prints all keys):\n    %s\n", strings.Join(missing, "\n    "))
	}
	if f.Secret != "" && f.CA != "" {
		f.tellCommands(w)
	}
	fmt.Fprintf(w, "See what waits, and why:\n    smarthost queue%s\n\n", f.configFlag())
}

func (f *firstRun) tellCommands(w io.Writer) {
	port := ""
	for _, d := range f.Doors {
		if !d.Implicit {
			port = d.Port()
		}
	}
	if port == "" {
		return
	}
	from := firstAccount + "@" + mailDomain(f.Config.Hostname)
	fmt.Fprintf(w, `Send a first mail, from this machine, with one of:
    swaks --server localhost --port %[1]s -tls --tls-verify --tls-ca-path %[2]s --auth PLAIN --auth-user %[3]s --auth-password %[4]s --from %[5]s --to you@example.com
    printf 'Subject: first\r\n\r\nIt works.\r\n' | curl --ssl-reqd --cacert %[2]s --user %[3]s:%[4]s --mail-from %[5]s --mail-rcpt you@example.com --upload-file - smtp://localhost:%[1]s
See what became of it:
    smarthost trace you@example.com%[6]s
`, port, shellWord(f.CA), firstAccount, f.Secret, from, f.configFlag())
}

func (f *firstRun) configFlag() string {
	if f.Config.File == "" {
		return ""
	}
	return " --config " + shellWord(f.Config.File)
}

// mailDomain makes a domain that can stand in an address.
func mailDomain(hostname string) string {
	if strings.Contains(hostname, ".") {
		return hostname
	}
	return hostname + ".localdomain"
}

// makeData makes the data folder; others may not look into it.
func makeData(c *Config) (made bool, err error) {
	_, err = os.Stat(c.Data)
	made = errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(filepath.Join(c.Data, "queue"), 0o700); err != nil {
		return false, fmt.Errorf("cannot make the data folder: %w (set data to a folder that this user may write)", err)
	}
	return made, nil
}
