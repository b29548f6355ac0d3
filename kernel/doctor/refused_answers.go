package doctor

import (
	"fmt"
	"slices"
	"strings"

	"pbr/compiler"
	"pbr/compiler/policy"
)

// codeRefusedAnswers is the code of RefusedAnswers.
const codeRefusedAnswers = "refused-answers"

// refusing returns the rules that could drop answers of connections that policies route: rules that
// refuse packets, where the kernel checks sources.
func refusing(doc *policy.Document) (rules []*policy.Rule) {
	if doc.Settings.ReversePath != policy.ReverseKernel || !compiler.AnswersPassRules(doc) {
		return nil
	}
	for i := range doc.Rules {
		if compiler.Refuses(doc, &doc.Rules[i]) {
			rules = append(rules, &doc.Rules[i])
		}
	}
	return rules
}

// AnswerSettings returns the settings that RefusedAnswers needs; none where it has nothing to say.
func AnswerSettings(doc *policy.Document) (paths []string) {
	if doc.Settings.Sysctl || len(refusing(doc)) == 0 {
		return nil
	}
	paths = []string{pathAllRPFilter, pathAllValidMark}
	for i := range doc.Uplinks {
		paths = append(paths, confPath(doc.Uplinks[i].Interface, "rp_filter"), confPath(doc.Uplinks[i].Interface, "src_valid_mark"))
	}
	return paths
}

// RefusedAnswers warns of each rule that refuses packets and, with the machine's settings, also
// drops answers of connections that policies route. The kernel checks an answer's source by the
// route of a packet from the host inside, without the answer's mark, and that packet matches the
// rule. No form of ip rules distinguishes the two. sysctls are the values of AnswerSettings; a
// missing setting counts as 0.
func RefusedAnswers(doc *policy.Document, sysctls map[string]string) (ds policy.Diagnostics) {
	if len(AnswerSettings(doc)) == 0 {
		return nil
	}
	var bad, commands []string
	for i := range doc.Uplinks {
		name := doc.Uplinks[i].Interface
		check := max(number(sysctls[confPath(name, "rp_filter")]), number(sysctls[pathAllRPFilter]))
		marked := max(number(sysctls[confPath(name, "src_valid_mark")]), number(sysctls[pathAllValidMark]))
		if check > 0 && marked == 0 && !slices.Contains(bad, name) {
			bad = append(bad, name)
			commands = append(commands, "net.ipv4.conf."+name+".src_valid_mark=1")
		}
	}
	if len(bad) == 0 {
		return nil
	}
	for _, r := range refusing(doc) {
		ds = append(ds, policy.Diagnostic{
			Pos: r.Pos, Severity: policy.Warning, Code: codeRefusedAnswers, Key: "rule.action",
			Hint: "sysctl = true in [pbr], or: sysctl -w " + strings.Join(commands, " "),
			Message: fmt.Sprintf("rule %q also drops IPv4 answers of connections that policies route: "+
				"they arrive on %s, where rp_filter is above 0 and src_valid_mark is 0",
				r.Name, strings.Join(bad, ", ")),
		})
	}
	return ds
}
