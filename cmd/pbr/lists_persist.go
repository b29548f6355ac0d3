package main

import (
	"time"

	"pbr/compiler/policy"
	"pbr/kernel"
	"pbr/kernel/members"
	"pbr/kernel/state"
)

// notePersistence records which lists of a policy that came into force keep their members across a
// reboot.
func notePersistence(doc *policy.Document, k *kernel.Kernel) error {
	return persist(persistentLists(doc), k)
}

// persistentLists are the lists that pbr lists add fills, and whether each keeps its members.
func persistentLists(doc *policy.Document) map[string]bool {
	persist := map[string]bool{}
	for i := range doc.Lists {
		if d := doc.Lists[i].Dynamic(); d != nil {
			persist[doc.Lists[i].Name] = d.Persist
		}
	}
	return persist
}

// persist notes it.
func persist(persist map[string]bool, k *kernel.Kernel) error {
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
