package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pbr/integration/lab"
	"pbr/integration/steps"
)

// The Ansible role in a network namespace: a first policy comes into force and is confirmed, the
// same again changes nothing, and a broken one is refused with the file as it was. make
// test-ansible runs it.
func TestAnsibleRole(t *testing.T) {
	t.Parallel()
	if os.Getenv("PBR_ANSIBLE") == "" {
		t.Skip("make test-ansible runs this, with Debian's ansible-core")
	}
	lab.NeedProgram(t, "ansible-playbook")
	n := lab.Build(lab.New(t), lab.Spec{ISPs: []lab.ISPSpec{lab.ISP(1), lab.ISP(2)}})
	r := newRouter(n.Router)
	dir := t.TempDir()
	roles, err := filepath.Abs("../packaging/ansible/roles")
	if err != nil {
		t.Fatal(err)
	}
	playbook := dir + "/site.yml"
	writeFile(t, playbook, "- hosts: all\n  connection: local\n  gather_facts: false\n  roles:\n    - role: "+
		"pbr\n      vars:\n        pbr_program: "+pbrPath+"\n        pbr_policy_file: "+r.file+"\n")
	play := func(t *testing.T, policy string) (string, int) {
		writeFile(t, dir+"/pbr.toml.j2", policy)
		res := r.Exec("env", "HOME="+dir, "ANSIBLE_ROLES_PATH="+roles, "ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8",
			"ansible-playbook", "-i", "router,", "-e", "ansible_python_interpreter=/usr/bin/python3", playbook)
		return res.Stdout + res.Stderr, res.Code
	}
	step := steps.Of(t)
	step.Run("the role installs and applies the policy", func(t *testing.T) {
		out, code := play(t, twoUplinks)
		if code != 0 || !strings.Contains(out, "changed=4") {
			t.Fatalf("exit status %d\n%s", code, out)
		}
		r.inSync()
		if res := r.pbr("confirm"); res.Code == 0 {
			t.Errorf("something waits to be confirmed: %s", res.Stdout)
		}
	})
	step.Run("a second run changes nothing", func(t *testing.T) {
		if out, code := play(t, twoUplinks); code != 0 || !strings.Contains(out, "changed=0") {
			t.Errorf("the second time: exit status %d\n%s", code, out)
		}
	})
	step.Run("a broken policy changes nothing", func(t *testing.T) {
		before := r.ours()
		if out, code := play(t, twoUplinks+"\nbroken = 1\n"); code == 0 {
			t.Errorf("a broken policy is taken:\n%s", out)
		}
		if readFile(t, r.file) != twoUplinks || r.ours() != before {
			t.Error("a broken policy changes something")
		}
	})
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
