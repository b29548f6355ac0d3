# The package for NixOS: nixpkgs.callPackage ./package.nix { }. Nix says which vendorHash it wants, for each state of go.mod.
{ lib, buildGoModule, version ? "dev", vendorHash ? lib.fakeHash }:
buildGoModule {
  pname = "pbr";
  inherit version vendorHash;
  src = lib.cleanSource ../..;
  subPackages = [ "cmd/pbr" ];
  # As packaging/go-build.sh builds it, but for the compiler's options, which only make it smaller.
  tags = [ "urfave_cli_no_docs" "nethttpomithttp2" ];
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
