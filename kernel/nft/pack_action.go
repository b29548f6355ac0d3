package nft

import (
	"net/netip"
	"reflect"

	"pbr/compiler/plan"
)

// actionTypes are the types of actions, which a snapshot has by their place here; actionNumbers is
// the opposite.
var actionTypes, actionNumbers = numberActions()

func numberActions() (types []reflect.Type, numbers map[reflect.Type]int) {
	numbers = map[reflect.Type]int{}
	for i, a := range plan.ActionTypes() {
		types = append(types, reflect.TypeOf(a))
		numbers[types[i]] = i
	}
	return types, numbers
}

// action writes an action: the number of its type, then its fields.
func (p *packer) action(a plan.Action) {
	v := reflect.ValueOf(a)
	p.num(uint64(actionNumbers[v.Type()]))
	for i := range v.NumField() {
		p.field(v.Field(i))
	}
}

// field writes a field of an action.
func (p *packer) field(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		p.str(v.String())
	case reflect.Bool:
		p.bool(v.Bool())
	case reflect.Array:
		for i := range v.Len() {
			p.field(v.Index(i))
		}
	case reflect.Struct:
		b, _ := v.Interface().(netip.Addr).MarshalBinary() // an address always marshals
		p.str(string(b))
	default:
		p.num(v.Uint())
	}
}

// action is the opposite of packer's.
func (u *unpacker) action() plan.Action {
	n := u.num()
	if n >= uint64(len(actionTypes)) {
		u.bad, n = true, 0
	}
	v := reflect.New(actionTypes[n]).Elem()
	for i := range v.NumField() {
		u.field(v.Field(i))
	}
	return v.Interface().(plan.Action)
}

func (u *unpacker) field(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(u.str())
	case reflect.Bool:
		v.SetBool(u.bool())
	case reflect.Array:
		for i := range v.Len() {
			u.field(v.Index(i))
		}
	case reflect.Struct:
		if err := v.Addr().Interface().(*netip.Addr).UnmarshalBinary([]byte(u.str())); err != nil {
			u.bad = true
		}
	default:
		v.SetUint(u.num())
	}
}
