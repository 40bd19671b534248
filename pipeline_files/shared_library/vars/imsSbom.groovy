// Writes down which npm packages the product is made of, as CycloneDX.
void call(Map config = [:]) {
    Map settings = [file: 'reports/sbom-npm.cdx.json'] + config
    withEnv(["SBOM=${settings.file}"]) {
        sh 'mkdir -p "$(dirname "$SBOM")" && npm sbom --sbom-format cyclonedx --omit dev > "$SBOM"'
    }
}
