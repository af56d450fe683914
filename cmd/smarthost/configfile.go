package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A given is one key that somebody set, and where: a line of the file or an environment variable.
type given struct {
	key   string // "listen.per_address"
	where string // "smarthost.toml:12" or "SMARTHOST_LISTEN_PER_ADDRESS"
	value any    // string, int64, float64, bool, []any, or an empty map[string]any for a table without keys; from the environment always string
}

// readTOML lists the keys of a TOML file in the order of the file. A file that is not TOML is one fault with its line.
func readTOML(name string, text []byte) ([]given, error) {
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		var bad *toml.DecodeError
		if errors.As(err, &bad) {
			row, column := bad.Position()
			return nil, fmt.Errorf("%s:%d: column %d: %s", name, row, column, strings.TrimPrefix(bad.Error(), "toml: "))
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var all []given
	var table []string
	var p unstable.Parser
	p.Reset(text)
	at := func(node *unstable.Node) string {
		return fmt.Sprintf("%s:%d", name, p.Shape(firstKey(node).Raw).Start.Line)
	}
	for p.NextExpression() {
		node := p.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = keyOf(node)
			if v := lookup(tree, table); hasNoKeys(v) {
				all = append(all, given{strings.Join(table, "."), at(node), v})
			}
		case unstable.KeyValue:
			key := append(append([]string(nil), table...), keyOf(node)...)
			all = appendGiven(all, at(node), key, lookup(tree, key))
		}
	}
	return all, p.Error()
}

// appendGiven takes an inline table apart, so that { messages = "1/1h" } means what a table of its own means.
func appendGiven(all []given, where string, key []string, v any) []given {
	if inline, ok := v.(map[string]any); ok && len(inline) > 0 {
		for k, v := range inline {
			all = appendGiven(all, where, append(append([]string(nil), key...), k), v)
		}
		return all
	}
	return append(all, given{strings.Join(key, "."), where, v})
}

// hasNoKeys tells of a table in which nothing is set, or of a list of tables, which nothing in the config is.
func hasNoKeys(v any) bool {
	t, ok := v.(map[string]any)
	return !ok || len(t) == 0
}

func keyOf(node *unstable.Node) []string {
	var key []string
	for it := node.Key(); it.Next(); {
		key = append(key, string(it.Node().Data))
	}
	return key
}

func firstKey(node *unstable.Node) *unstable.Node {
	it := node.Key()
	it.Next()
	return it.Node()
}

func lookup(tree map[string]any, key []string) any {
	var v any = tree
	for _, k := range key {
		t, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = t[k]
	}
	return v
}
