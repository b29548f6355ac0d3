package kernel

import (
	"errors"
	"fmt"
	"os"

	"pbr/compiler/plan"
	"pbr/kernel/state"
)

// damagedSuffix is appended to the name of a damaged journal that apply sets aside.
const damagedSuffix = ".damaged"

// DamagedJournal returns the *JournalError of a damaged journal; nil if it can be read, or is
// missing.
func (k *Kernel) DamagedJournal() error {
	var damaged *JournalError
	if _, err := readJournal(k.path(journalFile)); errors.As(err, &damaged) {
		return damaged
	}
	return nil
}

// readableJournal reads the journal. A damaged one counts as missing.
func (k *Kernel) readableJournal() (*journal, error) {
	j, err := readJournal(k.path(journalFile))
	var damaged *JournalError
	if errors.As(err, &damaged) {
		return &journal{}, nil
	}
	return j, err
}

// repairedJournal reads the journal. It sets a damaged one aside, and writes what the kernel shows
// in its place; the warning says so.
func (k *Kernel) repairedJournal(want *plan.Plan) (j *journal, warning string, err error) {
	file := k.path(journalFile)
	j, err = readJournal(file)
	var damaged *JournalError
	if !errors.As(err, &damaged) {
		return j, "", err
	}
	have, err := k.read(want, &journal{}, nil)
	if err != nil {
		return nil, "", err
	}
	if text, err := os.ReadFile(file); err == nil {
		_ = state.Replace(file+damagedSuffix, text) // -- for whoever wants to know what happened
	}
	j = recoveredJournal(have.plan, want)
	if len(j.Owned) == 0 {
		err = os.Remove(file)
	} else {
		err = replaceJournal(file, nil, j)
	}
	return j, fmt.Sprintf("the journal %s was damaged (%v) and is now %[1]s%[3]s: pbr goes on with what the kernel shows. "+
		"Settings (sysctls) that it changed before stay as they are after pbr flush, and connections with marks that "+
		"are not this policy's are deleted", file, damaged.Err, damagedSuffix), err
}
