package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pbr/compiler/policy"
)

// Keys of an assertion that say what must happen to the packet.
const (
	wantVerdict   = "verdict"
	wantUplink    = "uplink"
	wantTable     = "table"
	wantInterface = "interface"
	wantBy        = "by"
	wantPolicy    = "policy"
	wantRule      = "rule"
	wantNAT       = "nat"
	wantOffload   = "offload"
	wantReply     = "reply"
)

var wants = []string{wantVerdict, wantUplink, wantTable, wantInterface, wantBy, wantPolicy, wantRule, wantNAT, wantOffload, wantReply}

// ExpectKeys are the keys of an assertion: those of a question, and those that say what must happen
// to the packet.
func ExpectKeys() []string { return append(Keys[:], wants...) }

// ExpectLists are the keys of an assertion that may be lists: uplink, of members.
func ExpectLists() map[string]bool { return map[string]bool{wantUplink: true} }

// Check returns what is wrong with an assertion: that its question is invalid, or each key that
// does not hold.
func (x *Explainer) Check(e *policy.Expectation, resolve Resolver) (failed policy.Diagnostics) {
	if wrong := x.unknown(e); len(wrong) > 0 {
		return wrong
	}
	var t Text
	for key, v := range e.Values {
		t.Set(key, v.Text)
	}
	a, err := x.ask(&t, resolve)
	if err != nil {
		key, _, _ := strings.Cut(err.Error(), ":")
		return policy.Diagnostics{e.Failed(key, err.Error())}
	}
	asserted := 0
	for _, key := range wants {
		v, ok := e.Values[key]
		if !ok {
			continue
		}
		asserted++
		if got, ok := a.holds(key, &v); !ok {
			failed = append(failed, e.Failed(key, fmt.Sprintf("%s is %s, not %s: %s", key, got, quoted(&v), a.Because())))
		}
	}
	if asserted == 0 {
		failed = append(failed, e.Failed("",
			"nothing is asserted: write uplink, verdict, table, policy, rule, by, interface, nat, offload or reply"))
	}
	return failed
}

func (x *Explainer) ask(t *Text, resolve Resolver) (*Answer, error) {
	q, err := x.Read(t, resolve)
	if err != nil {
		return nil, err
	}
	return x.Answer(q)
}

// Because returns the sentence of Why that says what decided.
func (a *Answer) Because() string { return cmp.Or(a.because, string(a.By.Kind)) }

func quoted(v *policy.ExpectedValue) string {
	if v.List != nil {
		return fmt.Sprintf("%q", v.List)
	}
	return strconv.Quote(v.Text)
}

// holds compares one key, and returns what the answer has there.
func (a *Answer) holds(key string, v *policy.ExpectedValue) (got string, ok bool) {
	text := func(s string) (string, bool) {
		if s == "" {
			return "none", v.Text == "" || v.Text == "none"
		}
		return strconv.Quote(s), s == v.Text
	}
	switch key {
	case wantVerdict:
		return text(a.Verdict)
	case wantUplink:
		return a.holdsUplink(v, text)
	case wantTable:
		return text(a.Table)
	case wantInterface:
		return text(a.Interface)
	case wantBy:
		return text(string(a.By.Kind))
	case wantPolicy, wantRule:
		if string(a.By.Kind) == key {
			return text(a.By.Name)
		}
		return text("")
	case wantNAT:
		if a.Address.IsValid() && a.Address.String() == v.Text {
			return v.Text, true
		}
		return text(a.NAT)
	case wantOffload:
		return text(strconv.FormatBool(a.Offload))
	}
	return text(a.Reply)
}

// holdsUplink compares one uplink, or the members that turn, chance or a hash choose from, in any
// order.
func (a *Answer) holdsUplink(v *policy.ExpectedValue, text func(string) (string, bool)) (string, bool) {
	members := slices.Sorted(slices.Values(a.Members))
	if len(members) == 0 && a.Uplink != "" {
		members = []string{a.Uplink}
	}
	switch {
	case v.List != nil:
		return fmt.Sprintf("%q", members), slices.Equal(members, slices.Sorted(slices.Values(v.List)))
	case len(a.Members) > 0:
		return "one of " + strings.Join(members, ", "), false
	}
	return text(a.Uplink)
}
