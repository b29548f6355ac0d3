package explain_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pbr/compiler/explain"
)

// asked is the answer to a line of a batch.
type asked struct {
	ID      any
	Error   string
	Verdict string
	Source  string
	By      struct {
		Kind string
		Name *string
		Line *int
	}
	Table, Uplink, Interface *string
	Members                  []struct{ Uplink *string }
	Mark                     struct{ Packet, CT *string }
	NAT                      struct{ Kind, Address *string }
	Offload                  struct {
		Eligible bool
		Why      string
	}
	Reply struct{ Uplink *string }
	Why   []string
}

const everything = twoUplinks + `
[lists]
phones = ["192.168.10.11", "192.168.10.48/28"]
[[table]]
name = "to2"
routes = [{ uplink = "isp2" }, { uplink = "isp1", distance = 2 }]
[[table]]
name = "only4"
routes = [{ uplink = "isp2", dst = "8.0.0.0/8" }]
[[table]]
name = "kill"
strict = true
routes = [{ uplink = "isp2", dst = "8.0.0.0/8" }]
[[table]]
name = "both"
routes = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "turn"
method = "round-robin"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "hashed"
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[balance]]
name = "ports"
hash = ["src", "sport"]
members = [{ uplink = "isp1" }, { uplink = "isp2" }]
[[policy]]
name = "voip"
src = "@phones"
table = "to2"
[[policy]]
name = "falls"
src = "192.168.10.100"
table = "only4"
[[policy]]
name = "vpn"
src = "192.168.10.101"
table = "kill"
[[policy]]
name = "ecmp"
src = "192.168.10.102"
table = "both"
[[policy]]
name = "rr"
src = "192.168.10.103"
balance = "turn"
[[policy]]
name = "hash"
src = "192.168.10.104"
balance = "hashed"
[[policy]]
name = "hash-ports"
src = "192.168.10.105"
balance = "ports"
[[policy]]
name = "stays"
src = "192.168.10.106"
default = true
[[rule]]
name = "closed"
src = "192.168.66.0/24"
action = "drop"
[[rule]]
name = "ruled"
src = "192.168.67.0/24"
table = "to2"
`

// ask fills in what most questions have alike.
func ask(t *testing.T, text, keys string) asked {
	t.Helper()
	x := explainer(t, text)
	line := `{"id": 7, "dst": "8.8.8.8", "proto": "udp", "dport": 53, ` + keys + `}`
	if strings.Contains(keys, `"dst"`) {
		line = strings.Replace(line, `"dst": "8.8.8.8", `, "", 1)
	}
	var a asked
	out := x.Line(nil, []byte(line), nil)
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return a
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// answered asks and answers a question.
func answered(t *testing.T, x *explain.Explainer, question map[string]string) *explain.Answer {
	t.Helper()
	var keys explain.Text
	for key, value := range question {
		keys.Set(key, value)
	}
	q, err := x.Read(&keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Answer(q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
