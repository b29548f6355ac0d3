package plan

import (
	"encoding/json"
	"fmt"
	"reflect"

	"pbr/compiler/lazy"
)

// Actions are a rule's, in their order. In JSON, in which plans are kept in files of state, each is
// an object of one member: the name of its type, and its fields.
type Actions []Action

// actionTypes has the types of actions by name.
var actionTypes = lazy.Value[map[string]reflect.Type]{Make: func() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for _, a := range ActionTypes() {
		types[reflect.TypeOf(a).Name()] = reflect.TypeOf(a)
	}
	return types
}}

// MarshalJSON returns the JSON form.
func (l Actions) MarshalJSON() ([]byte, error) {
	out := make([]map[string]Action, len(l))
	for i, a := range l {
		out[i] = map[string]Action{reflect.TypeOf(a).Name(): a}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the JSON form.
func (l *Actions) UnmarshalJSON(b []byte) error {
	var in []map[string]json.RawMessage
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*l = make(Actions, 0, len(in))
	for _, object := range in {
		for name, fields := range object {
			typ := actionTypes.Get()[name]
			if typ == nil {
				return fmt.Errorf("unknown action %q", name)
			}
			a := reflect.New(typ)
			if err := json.Unmarshal(fields, a.Interface()); err != nil {
				return fmt.Errorf("action %s: %w", name, err)
			}
			*l = append(*l, a.Elem().Interface().(Action))
		}
	}
	return nil
}
