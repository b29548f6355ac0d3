package routeros

// hasBFD reports whether checks of this version have method = "bfd".
const hasBFD = false
