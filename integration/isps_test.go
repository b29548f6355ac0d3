package integration

// The usual uplinks isp1 and isp2 of a policy, by the addresses of lab.ISP, which translate
// sources: for IPv4, and for both versions.
const (
	ispsIPv4 = `[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
nat = "masquerade"
`
	ispsBoth = `[[uplink]]
name = "isp1"
interface = "wan1"
gateway = "192.0.2.1"
gateway6 = "2001:db8:f1::1"
nat = "masquerade"
[[uplink]]
name = "isp2"
interface = "wan2"
gateway = "198.51.100.1"
gateway6 = "2001:db8:f2::1"
nat = "masquerade"
`
)
