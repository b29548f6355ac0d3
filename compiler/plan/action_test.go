package plan

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// filled gives every field of an action a value.
func filled(a Action) Action {
	v := reflect.New(reflect.TypeOf(a)).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("name")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Array:
			f.Index(0).SetUint(7)
		case reflect.Struct:
			f.Set(reflect.ValueOf(netip.MustParseAddr("2001:db8::7")))
		default:
			f.SetUint(uint64(i + 1))
		}
	}
	return v.Interface().(Action)
}

func TestActionsAreKeptInJSON(t *testing.T) {
	t.Run("each is read as it was written", func(t *testing.T) {
		var want Actions
		for _, a := range ActionTypes() {
			want = append(want, a, filled(a))
		}
		b, err := json.Marshal(ChainRule{Actions: want})
		if err != nil {
			t.Fatal(err)
		}
		var got ChainRule
		if err := json.Unmarshal(b, &got); err != nil || !slices.Equal(got.Actions, want) {
			t.Errorf("%s became %+v (%v)", b, got.Actions, err)
		}
	})
	t.Run("one that does not exist is refused by name", func(t *testing.T) {
		if err := json.Unmarshal([]byte(`{"Actions":[{"Reject":{}}]}`), &ChainRule{}); err == nil ||
			!strings.Contains(err.Error(), `unknown action "Reject"`) {
			t.Errorf("an action that does not exist: %v", err)
		}
	})
}

// TestActionTypesHasAll reads the source for the types that are actions.
func TestActionTypesHasAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "action.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "uses" && f.Recv != nil {
			want = append(want, f.Recv.List[0].Type.(*ast.Ident).Name)
		}
		return true
	})
	var got []string
	for _, a := range ActionTypes() {
		got = append(got, reflect.TypeOf(a).Name())
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("ActionTypes has %v, the source %v", got, want)
	}
}
