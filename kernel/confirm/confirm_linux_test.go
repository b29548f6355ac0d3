package confirm

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pbr/compiler/plan"
)

// one is a plan with a rule of actions, as is gone back to.
func one() *plan.Plan {
	return &plan.Plan{Mask: 0xff000000, Ruleset: plan.Ruleset{Chains: []plan.Chain{{Name: "c", Rules: []plan.ChainRule{
		{Actions: []plan.Action{plan.Count{Counter: "n"}, plan.SetMark{Mask: 0xff000000, Value: 0x12000000}}},
	}}}}}
}

func TestTrial(t *testing.T) {
	s := In(t.TempDir())
	if p, err := s.Pending(); p != nil || err != nil {
		t.Fatalf("before: %v, %v", p, err)
	}
	begun, guard, err := s.Begin(&Previous{Plan: one()}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Pending()
	if err != nil || p.Token != begun.Token || !p.Guarded || p.Left <= 0 || p.Left > time.Hour {
		t.Fatalf("it waits as %+v, %v", p, err)
	}
	if before, err := s.Previous(); err != nil || before.Empty() || !reflect.DeepEqual(before.Plan, one()) {
		t.Errorf("to go back to: %+v, %v", before, err)
	}
	if err := guard.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Pending(); err != nil || p.Guarded {
		t.Errorf("nobody is left, and it is guarded: %+v, %v", p, err)
	}
	if err := s.NoteFailure(errors.New("no route")); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Pending(); err != nil || p.Failure != "no route" || p.Token != begun.Token {
		t.Errorf("after a failure: %+v, %v", p, err)
	}
	if p, err := s.Renew(2 * time.Hour); err != nil || p.Left != 2*time.Hour {
		t.Errorf("renewed: %+v, %v", p, err)
	}
	if p, err := s.Pending(); err != nil || p.Token != begun.Token || p.Left <= time.Hour {
		t.Errorf("renewed, it waits as %+v, %v", p, err)
	}
	if guard, err = s.Guard(); err != nil {
		t.Fatal(err)
	}
	defer guard.Close()
	if err := s.Clear(); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Pending(); p != nil || err != nil || s.HasPrevious() {
		t.Errorf("confirmed, and there is %+v, %v", p, err)
	}
	if p, err := s.Renew(time.Hour); p != nil || err == nil {
		t.Errorf("confirmed, and renewed: %+v, %v", p, err)
	}
	if _, err := s.Previous(); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("confirmed, and to go back to: %v", err)
	}
	if left, _ := os.ReadDir(s.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDamagedFiles(t *testing.T) {
	s := In(t.TempDir())
	for _, name := range []string{pendingFile, previousFile} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("pending.json: what to do is said", func(t *testing.T) {
		if _, err := s.Pending(); err == nil || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("pending.json: %v", err)
		}
	})
	t.Run("previous.json: it is not taken for none", func(t *testing.T) {
		if _, err := s.Previous(); err == nil || errors.Is(err, ErrNoPrevious) {
			t.Errorf("previous.json: %v", err)
		}
	})
}

// An earlier program's file is read by today's: a revert may come after an upgrade.
func TestPreviousOfAnEarlierProgram(t *testing.T) {
	s := In(t.TempDir())
	earlier := `{"plan":{"Ruleset":{"Sets":[{"Name":"list-a-4","Living":true,"Size":7}]}}}`
	if err := os.WriteFile(filepath.Join(s.dir, previousFile), []byte(earlier), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := s.Previous()
	if err != nil {
		t.Fatal(err)
	}
	if set := p.Plan.Ruleset.Sets[0]; !set.RunTime || set.Size != 7 {
		t.Errorf("to go back to: %+v", set)
	}
}
