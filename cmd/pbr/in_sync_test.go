package main

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"pbr/cmd/pbr/applied"
	"pbr/cmd/pbr/insync"
	"pbr/compiler/policy"
	"pbr/kernel"
)

// TestSumsTakeInEveryField changes each field of all that decides whether there is something to do,
// however deep, by reflection, and sees the sum change: a wrong "in sync" would come of one that
// does not count.
func TestSumsTakeInEveryField(t *testing.T) {
	for _, v := range []any{&inputs{}, &kernel.Held{}, &beside{}} {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			root := reflect.ValueOf(v).Elem()
			fill(root)
			sums, fields := map[insync.Sum]string{insync.Of(v): "nothing"}, 0
			eachField(root, root.Type().Name(), func(path string) {
				fields++
				sum := insync.Of(v)
				if other, there := sums[sum]; there {
					t.Errorf("%s: the sum is that of a change of %s", path, other)
				}
				sums[sum] = path
			})
			if sums[insync.Of(v)] != "nothing" {
				t.Errorf("%T is not what it was", v)
			}
			if fields < 15 {
				t.Errorf("%T has %d fields", v, fields)
			}
		})
	}
}

// TestInputsNameTheStateDirectory: the texts that were fetched for a policy are those of a state
// directory, and another one has others, or none.
func TestInputsNameTheStateDirectory(t *testing.T) {
	sum := func(dir string) insync.Sum {
		t.Setenv("STATE_DIRECTORY", dir)
		return insync.Of(inputsOf(&policyFile{text: &applied.Policy{}, doc: &policy.Document{}}, &situation{}))
	}
	if sum("/var/lib/one") == sum("/var/lib/other") {
		t.Error("what a plan is made of is the same with another state directory")
	}
}

// open returns a field that can be set, exported or not.
func open(v reflect.Value) reflect.Value {
	if v.CanSet() {
		return v
	}
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
}

// fill gives a value one of everything: an element in each list and map, something behind each
// pointer.
func fill(v reflect.Value) {
	switch v = open(v); v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	}
}

// eachField changes each part of a value, calls check, and changes it back.
func eachField(v reflect.Value, path string, check func(path string)) {
	v = open(v)
	try := func(change, back func()) { change(); check(path); back() }
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	back := func() { v.Set(was) }
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachField(v.Field(i), path+"."+v.Type().Field(i).Name, check)
		}
	case reflect.Array:
		for i := range v.Len() {
			eachField(v.Index(i), fmt.Sprintf("%s[%d]", path, i), check)
		}
	case reflect.Slice:
		try(func() { v.SetZero() }, back)
		path += "+"
		try(func() { v.Set(reflect.Append(v, v.Index(0))) }, back)
		eachField(v.Index(0), path[:len(path)-1]+"[]", check)
	case reflect.Pointer:
		try(func() { v.SetZero() }, back)
		eachField(v.Elem(), path+"->", check)
	case reflect.Map:
		try(func() { v.SetZero() }, back)
		key := v.MapKeys()[0]
		changedPair(v, key, path, check)
	case reflect.Bool:
		try(func() { v.SetBool(!v.Bool()) }, back)
	case reflect.String:
		try(func() { v.SetString(v.String() + "x") }, back)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		try(func() { v.SetInt(v.Int() + 1) }, back)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		try(func() { v.SetUint(v.Uint() + 1) }, back)
	case reflect.Float32, reflect.Float64:
		try(func() { v.SetFloat(v.Float() + 1) }, back)
	default:
		panic(path + ": no change is known for a " + v.Type().String())
	}
}

// changedPair changes each part of a map's only key, and of its value.
func changedPair(m, key reflect.Value, path string, check func(path string)) {
	k, value := reflect.New(key.Type()).Elem(), reflect.New(m.Type().Elem()).Elem()
	k.Set(key)
	value.Set(m.MapIndex(key))
	put := func(path string) {
		m.Clear()
		m.SetMapIndex(k, value)
		check(path)
	}
	eachField(k, path+"{key}", put)
	eachField(value, path+"{value}", put)
	m.Clear()
	m.SetMapIndex(k, value)
}
