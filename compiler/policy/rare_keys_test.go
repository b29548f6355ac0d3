package policy

import (
	"reflect"
	"testing"
)

// TestRareKeysAreKept: whatever rare key a policy has, it does not get those that others share.
func TestRareKeysAreKept(t *testing.T) {
	t.Parallel()
	usual := *usualKeys
	if usual.kept() != usualKeys {
		t.Fatal("policies without rare keys share none")
	}
	for i := range reflect.TypeFor[RareKeys]().NumField() {
		field := reflect.TypeFor[RareKeys]().Field(i)
		t.Run(field.Name, func(t *testing.T) {
			k := usual
			change(t, reflect.ValueOf(&k).Elem().Field(i))
			if got := k.kept(); got == usualKeys || !reflect.DeepEqual(*got, k) {
				t.Errorf("%+v became %+v", k, *got)
			}
		})
	}
}

// change makes a value another one.
func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	case reflect.Struct:
		change(t, v.Field(v.NumField()-1))
	default:
		t.Fatalf("no other %v", v.Type())
	}
}

// TestPoliciesShareUsualKeys: what most policies have is in memory once.
func TestPoliciesShareUsualKeys(t *testing.T) {
	t.Parallel()
	doc := mustParse(t, usualAndRare, Options{})
	usual, rare := &doc.Policies[0], &doc.Policies[1]
	if usual.RareKeys != usualKeys || usual.Settle != defaultSettle {
		t.Errorf("the policy without rare keys has its own: %+v", usual.RareKeys)
	}
	if rare.RareKeys == usualKeys || rare.Comment != "phones" || len(rare.DSCP) != 1 {
		t.Errorf("the policy with rare keys has %+v", rare.RareKeys)
	}
	if !reflect.DeepEqual(*usualKeys, RareKeys{Settle: defaultSettle}) {
		t.Errorf("reading changed what all share: %+v", usualKeys)
	}
}

const usualAndRare = `
default = { routes = [{ uplink = "isp1" }] }
uplink = [{ name = "isp1", interface = "wan1", gateway = "192.0.2.1" }]
[[policy]]
name = "usual"
src = "10.0.0.1"
uplink = "isp1"
[[policy]]
name = "rare"
dscp = 46
comment = "phones"
uplink = "isp1"
`
