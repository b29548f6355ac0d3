package policy

// lintWhole gives the warnings that judge the file as a whole. The file has no errors.
func (p *parser) lintWhole() {
}
