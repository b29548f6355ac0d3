package policy

import "io/fs"

// Parse reads the policy file of that name from fsys, and the list files it names, relative to
// it. display is the name that positions carry. The Document is usable only if the
// diagnostics have no errors; warnings are given in either case.
func Parse(fsys fs.FS, name, display string) (*Document, Diagnostics) {
	panic("not written yet")
}

// Unsupported names, as errors, what the file uses and this version of pbr cannot apply yet.
func Unsupported(doc *Document) Diagnostics {
	panic("not written yet")
}
