package policy

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What forwards: whatever is for others.
func TestForwards(t *testing.T) {
	const uplinks = "uplink = [{ name = \"a\", interface = \"a\", gateway = \"10.0.0.1\" }, " +
		"{ name = \"b\", interface = \"b\", gateway = \"10.0.1.1\" }]\n"
	nat := strings.Replace(uplinks, "10.0.0.1\"", "10.0.0.1\", nat = \"masquerade\"", 1)
	const local = "policy = { from = \"local\", name = \"own\", uid = 1001, uplink = \"b\" }\n"
	const byDefault = "default = { routes = [{ uplink = \"a\" }] }\n"
	for text, want := range map[string]bool{
		uplinks:                     false, // they only answer
		uplinks + local:             false,
		uplinks + local + byDefault: false,
		uplinks + byDefault:         true,
		uplinks + "rule = { name = \"r\", src = \"10.9.0.0/16\", uplink = \"b\" }\n": true,
		nat:         true,
		nat + local: true,
		strings.Replace(uplinks, "10.0.0.1\"", "10.0.0.1\", gateway6 = \"2001:db8::1\", nat6 = \"masquerade\"", 1): true,
		uplinks + "policy = { name = \"lan\", src = \"10.9.0.0/16\", uplink = \"b\" }\n":                           true,
		uplinks + strings.Replace(local, `"local"`, `["local", "lan0"]`, 1):                                        true,
		uplinks + "pbr = { forward = true }\n":                                                                     true,
		uplinks + local + "pbr = { forward = true }\n":                                                             true,
		nat + "pbr = { forward = false }\n":                                                                        false,
		nat + "pbr = { forward = \"auto\" }\n":                                                                     true,
	} {
		t.Run(text, func(t *testing.T) {
			if strings.Contains(text, `["local", "lan0"]`) {
				text = strings.Replace(text, "uid = 1001", "dst = \"9.9.9.9\"", 1)
			}
			doc, ds := Parse(fstest.MapFS{"p": {Data: []byte(text)}}, "p", "p")
			if ds.HasErrors() {
				t.Errorf("%s: %v", text, ds)
				return
			}
			if got := Forwards(doc); got != want {
				t.Errorf("forwards: %v, want %v:\n%s", got, want, text)
			}
		})
	}
	for value, want := range map[string]string{`"yes"`: `invalid forward "yes": want "auto", true or false`,
		"1": `forward: want "auto", true or false, have`, `"true"`: "without quotes"} {
		_, ds := Parse(fstest.MapFS{"p": {Data: []byte(uplinks + "pbr = { forward = " + value + " }\n")}}, "p", "p")
		if !ds.HasErrors() || !strings.Contains(ds[0].Message+ds[0].Hint, want) {
			t.Errorf("forward = %s: %+v", value, ds)
		}
	}
}
