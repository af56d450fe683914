package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-1397b510/smarthost/server/admin"
)

const tokenHelp = `smarthost token makes and revokes tokens for the API at listen.admin. The socket
in the data folder needs none, and so do /livez, /readyz and /metrics. A running
server sees every change at once.

    smarthost token add NAME --scope SCOPE[,SCOPE]… [--json]
    smarthost token list [--json]
    smarthost token revoke NAME

SCOPE is read (look at everything), queue (also change what waits), users (also
give devices and revoke them), or all (everything, reload included). NAME stands
in the log beside what the token's bearer does. The token is printed this once;
only its hash is kept, in admin-tokens in the data folder. It goes into the
header Authorization: Bearer TOKEN.

Examples:
    smarthost token add dashboard --scope read
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8587/api/v1/status
    smarthost token revoke dashboard
`

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

type tokenFlags struct {
	scopes []admin.Scope
	json   bool
}

func (f *tokenFlags) define(fs *flag.FlagSet) {
	fs.Func("scope", "what it is good for", func(list string) error {
		scopes, err := admin.ParseScopes(list)
		f.scopes = append(f.scopes, scopes...)
		return err
	})
	fs.BoolVar(&f.json, "json", false, "print JSON")
}

func tokenCommand(env *environment, args []string) error {
	fs := newFlags(env, "token", tokenHelp)
	config := commonFlags(fs)
	var f tokenFlags
	f.define(fs)
	args, err := parseFlags(fs, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usageError("token: which? add, list or revoke (see smarthost token --help)")
	}
	word, args := args[0], args[1:]
	flags, known := map[string]string{"add": "scope json", "list": "json", "revoke": ""}[word]
	switch {
	case !known:
		return usageError(fmt.Sprintf("token: no such subcommand: %q (see smarthost token --help)", word))
	case word == "list" && len(args) > 0:
		return usageError("token list takes no name (see smarthost token --help)")
	case word != "list" && len(args) != 1:
		return usageError(fmt.Sprintf("token %s takes one name (see smarthost token --help)", word))
	case word != "list" && !tokenName.MatchString(args[0]):
		return usageError(fmt.Sprintf("token %s: %q is no name of a token: at most 64 letters, digits, dots, - and _, and a letter or digit first", word, args[0]))
	case word == "add" && len(f.scopes) == 0:
		return usageError("token add: what is it good for? --scope read, queue, users or all (see smarthost token --help)")
	}
	if foreign := foreignFlags(fs, flags); foreign != "" {
		return usageError(fmt.Sprintf("token %s does not take %s (see smarthost token --help)", word, foreign))
	}
	c, err := loadConfig(env, *config)
	if err != nil {
		return err
	}
	tokens := c.tokens()
	switch word {
	case "add":
		return tokenAdd(env, tokens, args[0], f)
	case "revoke":
		if err := tokens.Revoke(args[0]); err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "revoked %s: it is good for nothing from now on\n", args[0])
		return nil
	}
	return tokenList(env, tokens, f.json)
}

func tokenAdd(env *environment, tokens *tokenFile, name string, f tokenFlags) error {
	secret, err := tokens.Add(name, f.scopes, time.Now())
	if err != nil {
		return err
	}
	if f.json {
		err = json.NewEncoder(env.Stdout).Encode(map[string]any{"name": name, "scopes": f.scopes, "token": secret})
	} else {
		_, err = fmt.Fprintf(env.Stdout, "added %s, good for %s; its token, shown this once:\n%s\n", name, scopesText(f.scopes), secret)
	}
	if err != nil {
		return fmt.Errorf("the token could not be printed: %w; smarthost token revoke %s takes it back", err, name)
	}
	return nil
}

func tokenList(env *environment, tokens *tokenFile, asJSON bool) error {
	list, err := tokens.read()
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(env.Stdout).Encode(append([]apiToken{}, list...))
	}
	if len(list) == 0 {
		fmt.Fprintln(env.Stdout, "there are no tokens; smarthost token add NAME --scope SCOPE makes one")
		return nil
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tGOOD FOR\tADDED")
	for _, t := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\n", t.Name, scopesText(t.Scopes), t.Added.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return table.Flush()
}

func scopesText(scopes []admin.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}
