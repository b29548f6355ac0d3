// Package tomltree reads TOML 1.1 into a tree whose every key, value and array element knows its
// line and column, at a speed that lets a policy file hold a hundred thousand entries. It finds all
// syntax errors of a file, not only the first.
//
// It is the only judge of what is TOML: tests hold it to the corpus of toml-test and, by fuzzing,
// to BurntSushi/toml, which is the stricter reader nowhere. Beyond TOML it bounds what one value
// may nest and what one key may chain, so that no file exhausts the stack.
package tomltree

import (
	"strconv"
	"strings"
)

// Kind is the type of a value.
type Kind uint8

// The kinds of TOML values.
const (
	String Kind = iota + 1
	Integer
	Float
	Bool
	Datetime
	Array
	Table
)

// String returns the kind as it is called in messages.
func (k Kind) String() string {
	switch k {
	case String:
		return "string"
	case Integer:
		return "integer"
	case Float:
		return "float"
	case Bool:
		return "boolean"
	case Datetime:
		return "date or time"
	case Array:
		return "array"
	case Table:
		return "table"
	}
	return "nothing"
}

// Node is one value. Line and Col are 1-based; Col counts characters.
type Node struct {
	Kind      Kind
	Line, Col int32
	// Text is a String's value; the others' text as written.
	Text string
	// Items is set for an Array, Fields for a Table.
	Items  *[]Node
	Fields *Fields
}

// Int returns an Integer's value.
func (n *Node) Int() int64 {
	v, _ := strconv.ParseInt(strings.ReplaceAll(strings.TrimPrefix(n.Text, "+"), "_", ""), 0, 64)
	return v
}

// Bool returns a Bool's value.
func (n *Node) Bool() bool { return n.Text == "true" }

// Field is one key of a table, with the key's place.
type Field struct {
	Key       string
	Line, Col int32
	// Used is free for the reader's book-keeping: which keys it has understood.
	Used  bool
	Value Node
}

// Fields are a table's keys in file order.
type Fields struct {
	// Line and Col are those of the table's header, or of its brace.
	Line, Col int32
	List      []Field

	index  map[string]int // from indexFrom fields on
	origin origin
	// arrays are the keys of arrays that [[headers]] make.
	arrays map[string]bool
}

// origin is how a table came to be, which decides who may add to it.
type origin uint8

const (
	implied  origin = iota // on the way to a [header]: a later header may define it
	explicit               // by its own [header]
	dotted                 // by a dotted key: only dotted keys of the same table may add to it
	inline                 // by { }: complete
)

// indexFrom is the number of keys from which a map beats comparing them one by one.
const indexFrom = 12

// Get returns the field of that name, or nil. The pointer is good until a field is added.
func (f *Fields) Get(key string) *Field {
	if f.index != nil {
		if i, ok := f.index[key]; ok {
			return &f.List[i]
		}
		return nil
	}
	for i := range f.List {
		if f.List[i].Key == key {
			return &f.List[i]
		}
	}
	return nil
}

// add appends a field that is not there yet.
func (f *Fields) add(m *arena, field Field) *Field {
	if len(f.List) == cap(f.List) {
		f.List = m.more(f.List)
	}
	f.List = append(f.List, field)
	switch n := len(f.List); {
	case f.index != nil:
		f.index[field.Key] = n - 1
	case n == indexFrom:
		f.index = make(map[string]int, 2*indexFrom)
		for i := range f.List {
			f.index[f.List[i].Key] = i
		}
	}
	return &f.List[len(f.List)-1]
}

// SyntaxError is one place where the text is not TOML.
type SyntaxError struct {
	Line, Col int
	// Message says what is wrong, Hint what to write instead; a hint may be empty.
	Message, Hint string
	// Duplicate is set when the text is well formed and only repeats a key or a table: Key. The
	// first one counts. Header is set if a [header] does.
	Duplicate, Header bool
	// Word is a word without quotes that is not a value, and Key what it was written for.
	Word, Key string
}
