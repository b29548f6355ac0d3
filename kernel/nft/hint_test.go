//go:build linux

package nft

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// A rule that the kernel refuses names what the kernel may lack.
func TestHint(t *testing.T) {
	for name, c := range map[string]struct {
		rule plan.ChainRule
		err  error
		want string
	}{
		"a control group": {
			plan.ChainRule{
				Matches: []plan.Match{{Field: plan.CgroupField(2), Set: "groups"}, {Field: plan.FieldCTState, Mask: 8}},
				Actions: []plan.Action{plan.Count{Counter: "policy-p"}},
			},
			unix.EOPNOTSUPP, "Linux 5.13 or later, with module nft_socket",
		},
		"a module of a match":       {plan.ChainRule{Matches: []plan.Match{{Field: plan.FieldFibDAddrType}}}, unix.ENOENT, "nft_fib_inet"},
		"a module of an action":     {plan.ChainRule{Actions: []plan.Action{plan.Masquerade{}}}, unix.ENOENT, "nft_masq"},
		"no permission":             {plan.ChainRule{}, unix.EPERM, "CAP_NET_ADMIN"},
		"something else goes wrong": {plan.ChainRule{Actions: []plan.Action{plan.Masquerade{}}}, unix.ENOMEM, ""},
	} {
		t.Run(name, func(t *testing.T) {
			op := operation{verb: "adding", object: "rule", name: "classify", rule: 1, planned: &c.rule}
			if got := op.hint(c.err); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("the hint is %q, and has to have %q", got, c.want)
			}
		})
	}
}
