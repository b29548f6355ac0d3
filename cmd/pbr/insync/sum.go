// Package insync is how a command that has nothing to do finds that out in a time that does not
// grow with the policy: by sums of everything that decides, taken when it was compared for the last
// time.
package insync

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"reflect"
	"slices"

	"pbr/compiler/checksum"
)

// Sum is a short stand-in for a value: values that differ in anything have other sums.
type Sum [checksum.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(s) {
		return fmt.Errorf("invalid sum %q", text)
	}
	copy(s[:], b)
	return nil
}

// Of returns the sum of a value. It takes in every field of every type in it, exported or not, so
// that nothing can be omitted by forgetting it; what has no value of its own, as a function, is a
// programming error.
func Of(v any) (s Sum) {
	w := summer{h: checksum.New()}
	w.value(reflect.ValueOf(v))
	w.flush()
	w.h.Sum(s[:0])
	return s
}

// summer writes a value as bytes that no other value of its type gives.
type summer struct {
	h hash.Hash
	b []byte
}

// summerRoom is how many bytes are gathered for one call of the hash.
const summerRoom = 16 << 10

func (w *summer) flush() {
	if w.h != nil {
		_, _ = w.h.Write(w.b) // never fails
		w.b = w.b[:0]
	}
}

func (w *summer) num(n uint64) {
	w.b = binary.AppendUvarint(w.b, n)
	if len(w.b) > summerRoom {
		w.flush()
	}
}

func (w *summer) text(s string) {
	w.num(uint64(len(s)))
	w.b = append(w.b, s...)
}

// exists writes whether there is a value, which nil is not, and reports whether there is.
func (w *summer) exists(v reflect.Value) bool {
	if v.IsNil() {
		w.num(0)
		return false
	}
	w.num(1)
	return true
}

func (w *summer) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		w.num(map[bool]uint64{true: 1}[v.Bool()])
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.num(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.num(v.Uint())
	case reflect.Float32, reflect.Float64:
		w.num(math.Float64bits(v.Float()))
	case reflect.String:
		w.text(v.String())
	case reflect.Pointer:
		if w.exists(v) {
			w.value(v.Elem())
		}
	case reflect.Interface:
		if w.exists(v) {
			w.text(v.Elem().Type().String())
			w.value(v.Elem())
		}
	case reflect.Slice:
		if w.exists(v) {
			w.list(v)
		}
	case reflect.Array:
		w.list(v)
	case reflect.Struct:
		for i := range v.NumField() {
			w.value(v.Field(i))
		}
	case reflect.Map:
		if w.exists(v) {
			w.pairs(v)
		}
	default:
		panic(fmt.Sprintf("a %s has no sum", v.Type()))
	}
}

func (w *summer) list(v reflect.Value) {
	w.num(uint64(v.Len()))
	for i := range v.Len() {
		w.value(v.Index(i))
	}
}

// pairs writes a map, whose order means nothing.
func (w *summer) pairs(v reflect.Value) {
	var all []string
	for pair := v.MapRange(); pair.Next(); {
		var one summer
		one.value(pair.Key())
		one.value(pair.Value())
		all = append(all, string(one.b))
	}
	slices.Sort(all)
	w.num(uint64(len(all)))
	for _, one := range all {
		w.text(one)
	}
}
