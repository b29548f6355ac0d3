# The package for NixOS: nixpkgs.callPackage ./package.nix { }. Nix says which vendorHash it wants, for each state of go.mod.
{ lib, buildGoModule, version ? "dev", vendorHash ? lib.fakeHash }:
buildGoModule {
  pname = "pbr";
  inherit version vendorHash;
  src = lib.cleanSource ../..;
  subPackages = [ "cmd/pbr" ];
  # As the Makefile builds it.
  tags = [ "urfave_cli_no_docs" ];
  env.CGO_ENABLED = 0;
  ldflags = [ "-s" "-w" "-X main.version=${version}" ];
  # They need root, and network namespaces.
  doCheck = false;
  meta = {
    description = "Policy-based routing for Linux routers with more than one uplink";
    license = lib.licenses.asl20;
    platforms = lib.platforms.linux;
    mainProgram = "pbr";
  };
}
