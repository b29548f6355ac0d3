package main

import (
	"time"

	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/state"
)

// notePersistence notes, of a policy that came into force, which lists keep their members over a
// restart of the machine.
func notePersistence(doc *policy.Document, k *kernel.Kernel) error {
	persist := map[string]bool{}
	for i := range doc.Lists {
		if d := doc.Lists[i].Dynamic(); d != nil {
			persist[doc.Lists[i].Name] = d.Persist
		}
	}
	if len(persist) == 0 {
		return nil
	}
	dir := state.Find(k.Dir())
	unlock, err := members.Lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	return members.SetPersist(dir, persist, time.Now())
}
